// The command line of sendmail(1), mailq(1) and newaliases(1). Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "mail/dsn.hpp"

namespace stagepost::sendmail {

enum class Mode {
  submit,       ///< -bm and no -b: a message from standard input
  mailq,        ///< -bp, or called as mailq
  newaliases,   ///< -bi, -I, or called as newaliases
  daemon,       ///< -bd, -bl: start the mail system
  stop,         ///< -bh, -bH (Sendmail's host status), -q30m without -bd: nothing to do
  flush_queue,  ///< -q
  flush_site,   ///< -qRsite
  flush_id,     ///< -qIid
  smtp          ///< -bs: SMTP on standard input
};

struct Options {
  Mode mode = Mode::submit;
  std::string sender;  ///< -f, -r
  bool has_sender = false;
  std::string full_name;                       ///< -F
  bool extract_recipients = false;             ///< -t
  bool dot_is_data = false;                    ///< -i, -oi
  std::string body_type;                       ///< "7bit" or "8bit": -B
  std::string dsn_envid;                       ///< -V, -Venvid (or VERP with -XV)
  dsn::Ret dsn_ret = dsn::Ret::none;           ///< -R
  dsn::Notify dsn_notify = dsn::Notify::none;  ///< -N
  bool verbose_delivery = false;               ///< one -v: report by mail
  unsigned debug = 0;                          ///< further -v
  bool verify_only = false;                    ///< -bv
  bool gateway = false;                        ///< -G: mail of somebody else's
  std::string alias_database;                  ///< -oA, for newaliases
  std::string verp_delimiters;                 ///< -XV
  bool use_verp = false;
  std::vector<std::string> warnings;  ///< about outdated usage
  std::string config_directory;       ///< -C (a directory or its main.cf)
  std::string log_tag;                ///< -L
  std::string site_or_id;             ///< for flush_site, flush_id
  std::vector<std::string> recipients;
};

/// `program` is the last part of argv[0]. Error: an option that is unknown or has a bad value; its context is the line
/// for standard error.
[[nodiscard]] Result<Options> parse_options(std::string_view program, const std::vector<std::string>& arguments);

}  // namespace stagepost::sendmail
