#include "smtpd/smtpd/postdrop_services.hpp"

#include <sysexits.h>

#include "log/log.hpp"
#include "net/event.hpp"
#include "queue/attribute_names.hpp"
#include "queue/maildrop_format.hpp"
#include "queue/postdrop.hpp"
#include "queue/record.hpp"

namespace stagepost::smtpd {
namespace {

using clients::CleanupResult;
namespace attr = queue::attr;

/// One message through the pipe to postdrop. It blocks when postdrop does: there is no other session to keep waiting.
class PostdropSink final : public MessageSink {
 public:
  PostdropSink(queue::Postdrop postdrop, std::string queue_id, std::size_t line_length_limit)
      : postdrop_(std::move(postdrop)), queue_id_(std::move(queue_id)), line_length_limit_(line_length_limit) {}
  ~PostdropSink() override {
    if (!ended_) { postdrop_.give_up(); }
  }
  PostdropSink(const PostdropSink&) = delete;
  PostdropSink& operator=(const PostdropSink&) = delete;

  [[nodiscard]] bool write_envelope(const clients::CleanupOpen& open) {
    std::string records;
    queue::append_attribute(records, attr::rewrite_context, "local");
    queue::append_record(records, queue::RecordType::sender, open.sender);
    for (const auto& [name, value] : open.attributes) {
      // The rest tells about the client, which is this user; postdrop would drop it.
      if (name == attr::dsn_envid || name == attr::dsn_ret || name == attr::encoding) {
        queue::append_attribute(records, name, value);
      }
    }
    if (!open.verp_delimiters.empty()) { queue::append_record(records, queue::RecordType::verp, open.verp_delimiters); }
    return postdrop_.write(records);
  }

  [[nodiscard]] const std::string& queue_id() const override { return queue_id_; }

  [[nodiscard]] net::Task<Result<>> add_recipients(std::vector<clients::RecipientRecord> recipients) override {
    std::string records;
    for (const auto& recipient : recipients) {
      if (recipient.notify != 0) {
        queue::append_attribute(records, attr::dsn_notify, std::to_string(recipient.notify));
      }
      if (!recipient.dsn_original.empty()) {
        queue::append_attribute(records, attr::dsn_original_recipient, recipient.dsn_original);
      }
      queue::append_record(records, queue::RecordType::recipient, recipient.address);
    }
    co_return written(records);
  }

  [[nodiscard]] net::Task<Result<>> add_content(std::string bytes) override {
    std::string records;
    begin_content(records);
    std::string_view rest = bytes;
    for (std::size_t newline = rest.find('\n'); newline != std::string_view::npos; newline = rest.find('\n')) {
      line_ += rest.substr(0, newline);
      queue::append_content_line(records, line_, line_length_limit_);
      line_.clear();
      rest.remove_prefix(newline + 1);
    }
    line_ += rest;
    if (line_.size() > line_length_limit_) {
      const std::size_t whole = line_.size() - line_.size() % line_length_limit_;
      queue::append_content_line(records, std::string_view(line_).substr(0, whole), line_length_limit_, false);
      line_.erase(0, whole);
    }
    co_return written(records);
  }

  [[nodiscard]] net::Task<Result<CleanupResult>> finish(clients::CleanupEnd end) override {
    ended_ = true;
    CleanupResult result;
    if (!end.commit) {
      postdrop_.give_up();
      result.status = CleanupResult::Status::aborted;
      co_return result;
    }
    std::string records;
    begin_content(records);
    if (!line_.empty()) { queue::append_content_line(records, line_, line_length_limit_, false); }
    records += queue::format_submission_end({}, 0);
    [[maybe_unused]] const bool taken = postdrop_.write(records);  // its exit status says why not
    const queue::Postdrop::Outcome outcome = postdrop_.finish();
    if (outcome.exit_status == EX_OK) { co_return result; }
    log::warning("{}: postdrop: {}", queue_id_, outcome.error);
    result.status =
        outcome.exit_status == EX_UNAVAILABLE ? CleanupResult::Status::too_large : CleanupResult::Status::write_error;
    co_return result;
  }

 private:
  void begin_content(std::string& records) {
    if (!std::exchange(content_begun_, true)) { queue::append_record(records, queue::RecordType::content_start, ""); }
  }

  [[nodiscard]] Result<> written(std::string_view records) {
    if (postdrop_.write(records)) { return {}; }
    return failure("postdrop takes no more", std::errc::broken_pipe);
  }

  queue::Postdrop postdrop_;
  std::string queue_id_;
  std::size_t line_length_limit_;
  std::string line_;  ///< not ended yet; at most line_length_limit
  bool content_begun_ = false;
  bool ended_ = false;
};

}  // namespace

net::Task<Services::Opened> PostdropServices::open_message(clients::CleanupOpen request) {
  auto postdrop = queue::Postdrop::start(config_->text("command_directory") + "/postdrop", {"-r"});
  if (!postdrop) { co_return std::unexpected(clients::CleanupRefusal{.text = postdrop.error().message()}); }
  auto id = postdrop->wait_id();
  if (!id) { co_return std::unexpected(clients::CleanupRefusal{.text = id.error().context, .full = false}); }
  auto sink = std::make_unique<PostdropSink>(std::move(*postdrop), std::move(*id),
                                             static_cast<std::size_t>(config_->integer("line_length_limit")));
  if (!sink->write_envelope(request)) {
    co_return std::unexpected(clients::CleanupRefusal{.text = "postdrop takes no envelope"});
  }
  co_return Opened(std::move(sink));
}

net::Task<> PostdropServices::sleep(std::chrono::seconds time) {
  [[maybe_unused]] const auto slept = co_await net::sleep_until(within(time));
}

// An unrestricted session asks none of these; a change that makes it ask gets a temporary failure.
net::Task<Result<clients::ResolveReply>> PostdropServices::resolve(std::string, std::string) {
  co_return failure("no look-ups in a stand-alone session", std::errc::operation_not_supported);
}

net::Task<dns::Answer> PostdropServices::dns(std::string, dns::Type) {
  dns::Answer answer;
  answer.status = dns::Status::temporary;
  co_return answer;
}

net::Task<dns::ClientName> PostdropServices::client_name(net::IpAddress) { co_return dns::ClientName{}; }

net::Task<Result<clients::FlushReply::Status>> PostdropServices::flush_site(std::string) {
  co_return clients::FlushReply::Status::failed;
}

}  // namespace stagepost::smtpd
