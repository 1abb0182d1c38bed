// See resp_reader.hpp.
#include "resp_reader.hpp"

#include <exception>
#include <hiredis/read.h>
#include <utility>

#include <fmt/format.h>

#include "base/safe_text.hpp"

namespace stagepost::maps::redis {
namespace {

/// Where the value that begins now goes: into the array around it, or on its own. hiredis, which is C, sees a pointer
/// or null; null ends the parsing with an error, and what was made so far comes to free_reply().
template <class Fill>
void* make(const redisReadTask* task, Fill fill) noexcept {
  try {
    std::unique_ptr<Reply> root;
    Reply* reply = nullptr;
    if (task->parent != nullptr) {
      // Elements come in order, so an array only grows while none of its elements is being filled: pointers hold.
      reply = &static_cast<Reply*>(task->parent->obj)->elements.emplace_back();
    } else {
      root = std::make_unique<Reply>();
      reply = root.get();
    }
    fill(*reply);
    (void)root.release();
    return reply;
  } catch (const std::exception&) { return nullptr; }
}

void* make_string(const redisReadTask* task, char* text, std::size_t size) {
  return make(task, [&](Reply& reply) {
    reply.kind = task->type == REDIS_REPLY_STATUS  ? Reply::Kind::status
                 : task->type == REDIS_REPLY_ERROR ? Reply::Kind::error
                                                   : Reply::Kind::text;
    reply.text.assign(text, size);
  });
}
void* make_array(const redisReadTask* task, int /*elements*/) {
  return make(task, [](Reply& reply) { reply.kind = Reply::Kind::array; });
}
void* make_integer(const redisReadTask* task, long long value) {
  return make(task, [&](Reply& reply) {
    reply.kind = Reply::Kind::integer;
    reply.integer = value;
  });
}
void* make_nil(const redisReadTask* task) {
  return make(task, [](Reply& reply) { reply.kind = Reply::Kind::nil; });
}
void free_reply(void* reply) { delete static_cast<Reply*>(reply); }

redisReplyObjectFunctions functions{.createString = make_string,
                                    .createArray = make_array,
                                    .createInteger = make_integer,
                                    .createNil = make_nil,
                                    .freeObject = free_reply};

}  // namespace

std::string encode_command(std::span<const std::string> words) {
  std::string bytes = fmt::format("*{}\r\n", words.size());
  for (const std::string& word : words) { bytes += fmt::format("${}\r\n{}\r\n", word.size(), word); }
  return bytes;
}

void ReplyReader::Free::operator()(redisReader* reader) const { ::redisReaderFree(reader); }

ReplyReader::ReplyReader(std::size_t limit_bytes)
    : reader_(::redisReaderCreateWithFunctions(&functions)), limit_bytes_(limit_bytes) {}
ReplyReader::~ReplyReader() = default;

Result<std::optional<Reply>> ReplyReader::feed(std::string_view bytes) {
  if (!reader_) { return failure("no memory for replies", std::errc::not_enough_memory); }
  taken_bytes_ += bytes.size();
  if (taken_bytes_ > limit_bytes_) {
    return failure(fmt::format("reply from server is longer than {} bytes", limit_bytes_), std::errc::message_size);
  }
  void* made = nullptr;
  if (::redisReaderFeed(reader_.get(), bytes.data(), bytes.size()) != REDIS_OK ||
      ::redisReaderGetReply(reader_.get(), &made) != REDIS_OK) {
    return failure(fmt::format("bad reply from server: {}", printable(std::string_view(reader_->errstr))),
                   std::errc::protocol_error);
  }
  if (made == nullptr) { return std::nullopt; }
  const std::unique_ptr<Reply> reply(static_cast<Reply*>(made));
  if (reader_->pos != reader_->len) { return failure("more than one reply from server", std::errc::protocol_error); }
  taken_bytes_ = 0;
  return std::move(*reply);
}

}  // namespace stagepost::maps::redis
