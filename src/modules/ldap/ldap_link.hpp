// A connection to one LDAP server through OpenLDAP's library: TLS, bind, searches, each with a time limit.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <ldap.h>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/deadline.hpp"
#include "base/result.hpp"
#include "ldap_expansion.hpp"

namespace stagepost::maps {

enum class LdapBind : std::uint8_t { none, simple, sasl };

/// What a connection needs to know, of ldap_table(5).
struct LdapConnectionSettings {
  int version = LDAP_VERSION3;
  std::chrono::seconds timeout{10};
  int size_limit = 0;
  int dereference = LDAP_DEREF_NEVER;
  bool chase_referrals = false;
  int debug_level = 0;
  LdapBind bind = LdapBind::simple;
  std::string bind_dn;
  std::string bind_password;
  std::string sasl_mechanisms;
  std::string sasl_realm;
  std::string sasl_authorization_id;
  int sasl_minimum_strength = 0;
  bool start_tls = false;
  std::string tls_ca_directory;
  std::string tls_ca_file;
  std::string tls_certificate;
  std::string tls_key;
  std::string tls_random_file;
  std::string tls_cipher_suite;
  bool tls_require_certificate = false;
};

class LdapLink final : public LdapDirectory {
 public:
  /// `settings` outlives the link.
  [[nodiscard]] static Result<std::unique_ptr<LdapLink>> connect(const LdapConnectionSettings& settings,
                                                                 const std::string& uri);

  /// All searches until the next call of this end by `deadline`, and each within the time limit.
  void set_deadline(Deadline deadline) { deadline_ = deadline; }
  [[nodiscard]] Result<std::optional<std::vector<LdapEntry>>> search(const LdapSearch& search) override;
  [[nodiscard]] std::optional<LdapSearch> parse_url(const std::string& text) const override;
  /// After a failed call: no further one can succeed.
  [[nodiscard]] bool lost() const { return lost_; }

 private:
  struct HandleEnd {
    void operator()(LDAP* handle) const { (void)::ldap_unbind_ext(handle, nullptr, nullptr); }
  };
  struct MessageEnd {
    void operator()(LDAPMessage* message) const { (void)::ldap_msgfree(message); }
  };
  using Handle = std::unique_ptr<LDAP, HandleEnd>;
  using Message = std::unique_ptr<LDAPMessage, MessageEnd>;

  LdapLink(const LdapConnectionSettings& settings, Handle handle)
      : settings_(settings), handle_(std::move(handle)), deadline_(within(settings.timeout)) {}

  [[nodiscard]] Result<> set_options();
  [[nodiscard]] Result<> set_tls_options();
  [[nodiscard]] Result<> bind();
  [[nodiscard]] Result<> bind_simple();
  [[nodiscard]] Result<> bind_sasl();
  /// The next message of an operation. Timeouts make the link lost.
  [[nodiscard]] Result<Message> next_message(int operation, Deadline deadline);
  [[nodiscard]] Result<LdapEntry> read_entry(LDAPMessage* message, std::size_t& bytes);
  [[nodiscard]] std::unexpected<Error> failed(int code, std::string_view what);

  const LdapConnectionSettings& settings_;
  Handle handle_;
  Deadline deadline_;
  bool lost_ = false;
};

}  // namespace stagepost::maps
