#include "net/scripted_stream.hpp"

#include <algorithm>

namespace stagepost::net {

Task<Result<std::size_t>> ScriptedStream::read_some(std::span<char> buffer, Deadline deadline) {
  std::string bytes;
  auto n = co_await append_some(bytes, buffer.size(), deadline);
  std::ranges::copy(bytes, buffer.begin());
  co_return n;
}

Task<Result<std::size_t>> ScriptedStream::append_some(std::string& target, std::size_t limit_bytes,
                                                      Deadline /*deadline*/) {
  if (script_->closed) { co_return failure("read", std::errc::operation_canceled); }
  if (script_->reads.empty()) { co_return std::size_t{0}; }
  Script::Step& step = script_->reads.front();
  switch (step.kind) {
    case Script::Step::Kind::bytes:
      break;
    case Script::Step::Kind::timeout:
      script_->reads.pop_front();
      co_return failure("read", std::errc::timed_out);
    case Script::Step::Kind::end:
      co_return std::size_t{0};
    case Script::Step::Kind::error:
      co_return failure("read", std::errc::connection_reset);
  }
  const std::size_t n = std::min(limit_bytes, step.bytes.size());
  target.append(step.bytes, 0, n);
  step.bytes.erase(0, n);
  if (step.bytes.empty()) { script_->reads.pop_front(); }
  co_return n;
}

Task<Result<>> ScriptedStream::write_all(std::string_view bytes, Deadline /*deadline*/) {
  if (script_->closed) { co_return failure("write", std::errc::operation_canceled); }
  if (script_->written.size() + bytes.size() > script_->fail_write_after) {
    co_return failure("write", std::errc::broken_pipe);
  }
  script_->written += bytes;
  co_return Result<>{};
}

}  // namespace stagepost::net
