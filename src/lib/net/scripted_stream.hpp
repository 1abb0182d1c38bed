// A Stream that plays a script: what the peer sends, when a read times out, when the peer is gone. For session tests:
// no sockets, no waiting, the same code path as in production.
#pragma once

#include <deque>
#include <memory>
#include <string>

#include "net/stream.hpp"

namespace stagepost::net {

/// The script and what was written, shared between the test and the stream that the session owns.
struct Script {
  struct Step {
    enum class Kind { bytes, timeout, end, error } kind = Kind::bytes;
    std::string bytes;
  };
  std::deque<Step> reads;                            ///< past the last step the peer is gone
  std::string written;                               ///< everything the session sent
  std::size_t fail_write_after = std::string::npos;  ///< writes fail (EPIPE) once this many bytes were written
  bool closed = false;

  Script& send(std::string bytes) {
    reads.push_back({Step::Kind::bytes, std::move(bytes)});
    return *this;
  }
  Script& time_out() {
    reads.push_back({Step::Kind::timeout, {}});
    return *this;
  }
  Script& hang_up() {
    reads.push_back({Step::Kind::end, {}});
    return *this;
  }
};

class ScriptedStream final : public Stream {
 public:
  explicit ScriptedStream(std::shared_ptr<Script> script) : script_(std::move(script)) {}

  Task<Result<std::size_t>> read_some(std::span<char> buffer, Deadline deadline) override;
  Task<Result<std::size_t>> append_some(std::string& target, std::size_t limit_bytes, Deadline deadline) override;
  Task<Result<>> write_all(std::string_view bytes, Deadline deadline) override;
  void cancel() override {}
  void close() override { script_->closed = true; }
  [[nodiscard]] int native_handle() const override { return -1; }

 private:
  std::shared_ptr<Script> script_;
};

}  // namespace stagepost::net
