// One message on its way through cleanup: from Open to the durable queue file.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cleanup/cleanup/alias_expansion.hpp"
#include "cleanup/cleanup/content_writer.hpp"
#include "cleanup/cleanup/header_plan.hpp"
#include "cleanup/cleanup/settings.hpp"
#include "clients/bounce.hpp"
#include "clients/cleanup.hpp"
#include "clients/qmgr.hpp"
#include "net/event_loop.hpp"
#include "queue/directory.hpp"
#include "queue/message_committer.hpp"
#include "queue/message_writer.hpp"

namespace stagepost::cleanup {

/// What all messages of the process share.
struct Shared {
  net::EventLoop& loop;
  Settings settings;
  queue::QueueDirectory directory;
  queue::Nursery nursery;
  queue::MessageCommitter committer;
  maps::Chain virtual_alias_maps;
  maps::LocalDomains local_domains;
  clients::RewriteClient rewrite;
  clients::BounceClient bounce;
  clients::QmgrClient qmgr;
};

class Message {
 public:
  /// Makes the queue file and writes the envelope's first part. Errors: the disk's.
  [[nodiscard]] static net::Task<Result<std::unique_ptr<Message>>> create(Shared& shared, clients::CleanupOpen open);

  [[nodiscard]] std::string queue_id() const { return writer_.id().str(); }
  [[nodiscard]] net::Task<> add_recipients(std::vector<clients::RecipientRecord> recipients);
  [[nodiscard]] net::Task<> add_content(std::string_view bytes);
  /// Finishes the file and makes it durable. Status::ok only after that.
  [[nodiscard]] net::Task<clients::CleanupResult> finish(clients::CleanupEnd orders);
  /// After finish(): tells the queue manager, if there is something to tell.
  [[nodiscard]] net::Task<> announce();

 private:
  Message(Shared& shared, clients::CleanupOpen open, queue::MessageWriter writer);
  [[nodiscard]] net::Task<> add_recipient(clients::RecipientRecord recipient);
  void write_recipient(const clients::RecipientRecord& recipient);
  void write_verp_request();
  void start_content();
  [[nodiscard]] net::Task<> drain_events();
  [[nodiscard]] net::Task<> handle_header(const ContentEvent& event);
  [[nodiscard]] net::Task<std::string> rewrite_field(std::string field);
  [[nodiscard]] net::Task<> write_trailer();
  [[nodiscard]] Result<> hold();
  [[nodiscard]] std::int64_t smtputf8_flags() const;
  [[nodiscard]] net::Task<clients::CleanupResult> commit();
  [[nodiscard]] net::Task<bool> bounce_to_sender(const clients::CleanupResult& why);
  void fail(clients::CleanupResult::Status status, std::string code, std::string text);
  void fail_to_write(const Error& error);
  [[nodiscard]] bool failed() const { return result_.status != clients::CleanupResult::Status::ok; }
  [[nodiscard]] bool has_flag(clients::CleanupFlags flag) const { return (open_.flags & flag) != 0; }
  [[nodiscard]] std::string_view attribute(std::string_view name) const;

  Shared& shared_;
  clients::CleanupOpen open_;
  clients::CleanupEnd orders_;
  queue::MessageWriter writer_;
  TableAliasLookup aliases_;
  ContentSink sink_;
  mail::MimeParser mime_;
  LineCutter cutter_;
  HeaderPlan headers_;
  std::optional<clients::RewriteContext> header_context_;  // none: header addresses stay
  std::string sender_;                                     // rewritten
  std::set<std::string> seen_recipients_;
  std::string extracted_;  // records of recipients that came after the content began; they go behind it
  std::vector<clients::RecipientRecord> recipients_for_bounce_;
  std::int64_t recipient_count_ = 0;
  std::int64_t content_offset_ = 0;  // 0: content has not begun
  std::int64_t content_octets_ = 0;  // of the content segment, as SizeRecord counts
  std::int64_t size_flags_ = 0;
  bool eight_bit_recipient_ = false;
  bool arrived_ = false;  // in incoming, and the queue manager has not been told
  clients::CleanupResult result_;
};

}  // namespace stagepost::cleanup
