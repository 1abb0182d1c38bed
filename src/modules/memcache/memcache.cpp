// memcache: tables (memcache_table(5)): a memcached server as a cache, before another table or alone. Speaks the text
// protocol itself, since a lookup is one line each way.
#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "base/deadline.hpp"
#include "base/safe_text.hpp"
#include "client_source.hpp"
#include "maps/module.hpp"
#include "memcache_reply.hpp"
#include "peer_stream.hpp"
#include "query.hpp"

namespace stagepost::maps {
namespace {

using memcache::ReplyReader;

struct Settings {
  PeerAddress server;
  std::shared_ptr<NestedTable> backup;  ///< null: none
  std::uint32_t flags = 0;
  std::uint32_t ttl = 3600;
  Template key_format;
  std::string domains;
  memcache::Limits limits;
  std::int64_t max_try = 2;
  std::chrono::seconds retry_pause{1};
  std::chrono::seconds timeout{2};
  Access access = Access::read;
  std::string source;
  std::function<void(std::string_view)> warn;
};

/// One try at a command. `reused`: the connection had been used before, so that the server may have closed it since.
struct Failure {
  Error error;
  bool reused = false;
  bool connecting = false;
};

class MemcacheConnection final : public BlockingConnection {
 public:
  explicit MemcacheConnection(const Settings& settings) : settings_(settings) {}

  Result<Found> find(const std::string& key) override {
    SP_TRY(const auto name, stored_name(key));
    if (!name) { return Found{}; }
    std::optional<Error> failed;
    if (memcache::is_valid_key(*name)) {
      auto reply = call(ReplyReader::Command::get, *name, memcache::get_command(*name));
      if (reply && reply->value()) { return std::move(reply->value()); }
      if (!reply) {
        if (!settings_.backup) { return std::unexpected(std::move(reply).error()); }
        failed = std::move(reply).error();
        settings_.warn(fmt::format("{}: {}", settings_.source, failed->message()));
      }
    }
    if (!settings_.backup) { return Found{}; }
    auto found = settings_.backup->find(key);
    // A server that did not answer is not asked to store either.
    if (found && *found && !failed) { remember(*name, **found); }
    return found;
  }

  Result<> put(const std::string& key, const std::string& value) override {
    SP_TRY(const auto name, stored_name(key));
    if (!name) {
      settings_.warn(
          fmt::format("{}: key \"{}\" lacks a part of key_format: update skipped", settings_.source, printable(key)));
      return {};
    }
    const bool valid = memcache::is_valid_key(*name);
    if (settings_.backup) {
      SP_TRY(settings_.backup->put(key, value));
    } else if (!valid) {
      settings_.warn(fmt::format("{}: key \"{}\" cannot be stored: update skipped", settings_.source, printable(key)));
    } else if (value.size() > settings_.limits.data_bytes) {
      return failure(fmt::format("value has {} bytes, more than data_size_limit", value.size()),
                     std::errc::value_too_large);
    }
    if (!valid) { return {}; }
    Result<> stored = store(*name, value);
    if (stored || !settings_.backup) { return stored; }
    settings_.warn(fmt::format("{}: {}", settings_.source, stored.error().message()));
    return {};
  }

  Result<bool> erase(const std::string& key) override {
    SP_TRY(const auto name, stored_name(key));
    if (!name) { return false; }
    bool erased = false;
    if (memcache::is_valid_key(*name)) {
      // First here: a failure behind it leaves an entry that the backup still has, not one that is gone from there.
      auto reply = call(ReplyReader::Command::erase, *name, memcache::delete_command(*name));
      if (reply) {
        erased = reply->erased();
      } else if (!settings_.backup) {
        return std::unexpected(std::move(reply).error());
      } else {
        settings_.warn(fmt::format("{}: {}", settings_.source, reply.error().message()));
      }
    }
    return settings_.backup ? settings_.backup->erase(key) : Result<bool>(erased);
  }

  Result<> each(const Visit& visit) override {
    if (!settings_.backup) { return failure("only a table with a backup can be listed"); }
    return settings_.backup->each(visit);
  }

 private:
  /// The key as the server knows it; nullopt: it lacks a part that key_format names.
  [[nodiscard]] Result<std::optional<std::string>> stored_name(const std::string& key) const {
    return settings_.key_format.query(KeyParts(key), [](std::string_view part) { return std::string(part); });
  }

  void remember(const std::string& name, const std::string& value) {
    if (!memcache::is_valid_key(name) || value.size() > settings_.limits.data_bytes) { return; }
    if (auto stored = store(name, value); !stored) {
      settings_.warn(fmt::format("{}: {}", settings_.source, stored.error().message()));
    }
  }

  /// A value too large to be read again is taken away instead: an old one must not stay.
  Result<> store(const std::string& name, const std::string& value) {
    if (value.size() > settings_.limits.data_bytes) {
      SP_TRY(call(ReplyReader::Command::erase, name, memcache::delete_command(name)));
      return {};
    }
    SP_TRY(call(ReplyReader::Command::set, name, memcache::set_command(name, settings_.flags, settings_.ttl, value)));
    return {};
  }

  /// max_try times, with retry_pause between; not again when the server accepts no connection.
  Result<ReplyReader> call(ReplyReader::Command command, const std::string& name, const std::string& bytes) {
    bool stale_excused = false;
    for (std::int64_t attempt = 1;; ++attempt) {
      auto reply = call_once(command, name, bytes);
      if (reply) { return *std::move(reply); }
      Failure failed = std::move(reply).error();
      stream_.reset();
      // The server was restarted, or closed an idle connection: no reason to pause, nor to count.
      if (failed.reused && failed.error.is(std::errc::connection_reset) && !stale_excused) {
        stale_excused = true;
        --attempt;
        continue;
      }
      if (failed.connecting || attempt >= settings_.max_try) { return std::unexpected(std::move(failed.error)); }
      std::this_thread::sleep_for(settings_.retry_pause);
    }
  }

  std::expected<ReplyReader, Failure> call_once(ReplyReader::Command command, const std::string& name,
                                                const std::string& bytes) {
    const bool reused = stream_ != nullptr;
    if (!reused) {
      auto socket = connect_peer(settings_.server, within(settings_.timeout));
      if (!socket) { return std::unexpected(Failure{.error = std::move(socket).error(), .connecting = true}); }
      stream_ = plain_stream(*std::move(socket));
    }
    auto reply = converse(command, name, bytes);
    if (reply) { return *std::move(reply); }
    return std::unexpected(
        Failure{.error = std::move(reply).error().within(settings_.server.text()), .reused = reused});
  }

  Result<ReplyReader> converse(ReplyReader::Command command, const std::string& name, const std::string& bytes) {
    auto sent = stream_->write(bytes, within(settings_.timeout));
    if (!sent && sent.error().is(std::errc::broken_pipe)) {
      return failure("server closed the connection", std::errc::connection_reset);
    }
    SP_TRY(std::move(sent));
    const Deadline deadline = within(settings_.timeout);
    ReplyReader reader(command, name, settings_.limits);
    std::array<char, 4096> buffer{};
    for (;;) {
      SP_TRY(const std::size_t got, stream_->read(buffer, deadline));
      SP_TRY(const bool complete, reader.feed({buffer.data(), got}));
      if (complete) { return reader; }
    }
  }

  const Settings& settings_;
  std::unique_ptr<PeerStream> stream_;
};

class MemcacheClient final : public BlockingClient {
 public:
  explicit MemcacheClient(Settings settings) : settings_(std::move(settings)) {}

  Limits limits() const override {
    // Connecting and one more try after a stale connection come on top; a backup may take its own time.
    const auto one_try = 2 * settings_.timeout + settings_.retry_pause;
    Limits limits;
    limits.answer = std::max<std::chrono::milliseconds>(limits.answer, (settings_.max_try + 2) * one_try);
    // Changes reach the server and the backup in the order they were made.
    if (settings_.access == Access::write) { limits.connections = 1; }
    return limits;
  }
  std::string key_domains() const override { return settings_.domains; }
  Result<std::unique_ptr<BlockingConnection>> connect() const override {
    return std::make_unique<MemcacheConnection>(settings_);
  }

 private:
  Settings settings_;
};

Result<std::shared_ptr<const BlockingClient>> connect(std::string_view name, const ModuleContext& context) {
  SP_TRY(const ClientSource source, ClientSource::open(name, context));
  Settings settings;
  settings.access = context.access;
  settings.source = fmt::format("memcache:{}", printable(name));
  settings.warn = context.warn;
  auto server = parse_peer(source.text("memcache", "inet:localhost:11211"));
  if (!server) { return std::unexpected(std::move(server).error().within(source.name())); }
  settings.server = *std::move(server);
  SP_TRY(const auto flags, source.number("flags", 0));
  SP_TRY(const auto ttl, source.number("ttl", 3600));
  settings.flags = static_cast<std::uint32_t>(flags);
  settings.ttl = static_cast<std::uint32_t>(ttl);
  SP_TRY(settings.key_format, Template::parse(source.text("key_format", "%s"), source.name(), "key_format"));
  settings.domains = source.text("domain");
  SP_TRY(const auto data, source.number("data_size_limit", 10240, 1, kValueLimit));
  SP_TRY(const auto line, source.number("line_size_limit", 1024, 1, 1 << 20));
  settings.limits = {.line_bytes = static_cast<std::size_t>(line), .data_bytes = static_cast<std::size_t>(data)};
  SP_TRY(settings.max_try, source.number("max_try", 2, 1, 100));
  SP_TRY(const auto pause, source.number("retry_pause", 1, 0, 3600));
  SP_TRY(const auto timeout, source.number("timeout", 2, 1, 3600));
  settings.retry_pause = std::chrono::seconds(pause);
  settings.timeout = std::chrono::seconds(timeout);
  if (const std::string backup = source.text("backup"); !backup.empty()) {
    SP_TRY(settings.backup, context.open_table(backup, context.access));
  }
  return std::make_shared<const MemcacheClient>(std::move(settings));
}

constexpr std::array<ModuleType, 1> kTypes{{{.type = "memcache", .connect = connect}}};

}  // namespace
}  // namespace stagepost::maps

const stagepost::maps::Module stagepost_table_module{.types = stagepost::maps::kTypes};
