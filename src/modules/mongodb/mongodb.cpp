// mongodb: tables, mongodb_table(5): MongoDB servers are asked through the C driver. Which server of a list or replica
// set answers is the driver's business.
#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <mongoc/mongoc.h>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "base/deadline.hpp"
#include "base/safe_text.hpp"
#include "base/text.hpp"
#include "bson.hpp"
#include "client_source.hpp"
#include "document_values.hpp"
#include "filter_template.hpp"
#include "host_list.hpp"
#include "maps/module.hpp"
#include "query.hpp"

namespace stagepost::maps {
namespace {

using mongodb::Bson;
using mongodb::FilterTemplate;
using mongodb::IgnoredFields;
using mongodb::ResultFields;

// For options that the connection string does not set. The driver's own are 10 s, 30 s and 5 min.
constexpr std::chrono::milliseconds kConnect{5'000};
constexpr std::chrono::milliseconds kSelect{10'000};
constexpr std::chrono::milliseconds kAnswer{10'000};
constexpr std::chrono::milliseconds kIdle{60'000};
constexpr std::chrono::milliseconds kLongest{std::chrono::hours(1)};
constexpr int kMostConnections = 100;
// A server's limits. The driver copies names into buffers of such sizes.
constexpr std::size_t kDatabaseLength = 63;
constexpr std::size_t kCollectionLength = 120;

struct UriEnd {
  void operator()(mongoc_uri_t* uri) const { ::mongoc_uri_destroy(uri); }
};
struct ClientEnd {
  void operator()(mongoc_client_t* client) const { ::mongoc_client_destroy(client); }
};
struct CollectionEnd {
  void operator()(mongoc_collection_t* collection) const { ::mongoc_collection_destroy(collection); }
};
struct CursorEnd {
  void operator()(mongoc_cursor_t* cursor) const { ::mongoc_cursor_destroy(cursor); }
};
using Uri = std::unique_ptr<mongoc_uri_t, UriEnd>;
using Client = std::unique_ptr<mongoc_client_t, ClientEnd>;
using Collection = std::unique_ptr<mongoc_collection_t, CollectionEnd>;
using Cursor = std::unique_ptr<mongoc_cursor_t, CursorEnd>;

using Warn = std::function<void(std::string_view)>;

/// Without what stands between quotes: of a malformed connection string that may be a piece of the password.
std::string without_quotations(std::string_view text) {
  std::string kept;
  char quote = '\0';
  for (const char c : text) {
    if (quote != '\0') {
      if (c == quote) {
        kept += "...";
        kept += std::exchange(quote, '\0');
      }
      continue;
    }
    if (c == '"' || c == '\'') { quote = c; }
    kept += c;
  }
  if (quote != '\0') { kept += "..."; }
  return printable(text::trim(kept));
}

/// While it lives, what the driver has to say on this thread goes to the table's log. Otherwise it would go to
/// standard error.
class DriverLog {
 public:
  DriverLog(std::string_view table_name, const Warn& warn) : table_name_(table_name), warn_(warn), outer_(current_) {
    current_ = this;
  }
  ~DriverLog() { current_ = outer_; }
  DriverLog(const DriverLog&) = delete;
  DriverLog& operator=(const DriverLog&) = delete;

  static void write(mongoc_log_level_t level, const char* /*domain*/, const char* message, void* /*unused*/) {
    if (level > MONGOC_LOG_LEVEL_WARNING || current_ == nullptr) { return; }
    current_->warn_(fmt::format("{}: {}", current_->table_name_, without_quotations(message)));
  }

 private:
  static thread_local const DriverLog* current_;
  std::string_view table_name_;
  const Warn& warn_;
  const DriverLog* outer_;
};
thread_local const DriverLog* DriverLog::current_ = nullptr;

struct MongoSettings {
  std::string table_name;  ///< "mongodb:name", for warnings
  Uri uri;
  std::string servers;  ///< for messages
  std::string database;
  std::string collection;
  FilterTemplate filter;
  ResultFields fields;
  ResultRules results;
  std::string domains;
  std::chrono::milliseconds connect_timeout{kConnect};
  std::chrono::milliseconds select_timeout{kSelect};
  std::chrono::milliseconds answer_timeout{kAnswer};
  std::chrono::milliseconds idle{kIdle};
  std::size_t connections = 2;
  Warn warn;
};

class MongoClient final : public BlockingClient {
 public:
  explicit MongoClient(MongoSettings settings) : settings_(std::move(settings)) {}

  Limits limits() const override {
    // A kept connection that does not answer, and then a new one.
    const auto answer = 2 * (settings_.select_timeout + settings_.answer_timeout);
    return {.connections = settings_.connections, .answer = answer, .idle = settings_.idle};
  }
  std::string key_domains() const override { return settings_.domains; }
  Result<std::unique_ptr<BlockingConnection>> connect() const override;

 private:
  MongoSettings settings_;
};

class MongoConnection final : public BlockingConnection {
 public:
  explicit MongoConnection(const MongoSettings& settings) : settings_(settings) {}
  ~MongoConnection() override {
    const DriverLog log(settings_.table_name, settings_.warn);
    client_.reset();
  }

  Result<Found> find(const std::string& key) override {
    const KeyParts parts(key);
    if (!settings_.results.format().key_suffices(parts)) { return Found{}; }
    SP_TRY(const std::optional<Bson> filter, settings_.filter.make(parts));
    if (!filter) { return Found{}; }
    const DriverLog log(settings_.table_name, settings_.warn);
    const bool kept = client_ != nullptr;
    Asked asked = ask(parts, filter->get());
    if (asked.lost && kept) {
      // It may have been idle for long, and the server restarted: that says nothing yet about the server.
      client_.reset();
      asked = ask(parts, filter->get());
    }
    // The driver leaves a server that failed alone for some seconds; a new client asks it again at once.
    if (asked.lost) { client_.reset(); }
    return std::move(asked.found);
  }

 private:
  struct Asked {
    Result<Found> found;
    bool lost = false;  ///< failed for another reason than what the server answered
  };

  Asked ask(const KeyParts& key, const bson_t* filter) {
    bson_error_t error{};
    if (!client_) {
      client_.reset(::mongoc_client_new_from_uri_with_error(settings_.uri.get(), &error));
      if (!client_) { return broken(error); }
      (void)::mongoc_client_set_error_api(client_.get(), MONGOC_ERROR_API_VERSION_2);
    }
    const Collection collection(
        ::mongoc_client_get_collection(client_.get(), settings_.database.c_str(), settings_.collection.c_str()));
    Bson options;
    (void)::bson_append_document(options.get(), "projection", -1, settings_.fields.projection());
    (void)::bson_append_int64(options.get(), "maxTimeMS", -1, settings_.answer_timeout.count());
    const Cursor cursor(::mongoc_collection_find_with_opts(collection.get(), filter, options.get(), nullptr));
    return read(cursor.get(), key);
  }

  Asked read(mongoc_cursor_t* cursor, const KeyParts& key) {
    const Deadline deadline = within(settings_.select_timeout + settings_.answer_timeout);
    ResultList results(settings_.results, key.key());
    IgnoredFields ignored;
    const bson_t* document = nullptr;
    while (::mongoc_cursor_next(cursor, &document)) {
      if (auto added = mongodb::add_values(document, settings_.fields, results, ignored); !added) {
        return {.found = std::unexpected(std::move(added).error())};
      }
      // The driver's limit is for each piece that is read, and a server may send documents for ever.
      if (deadline.passed()) { return {.found = failure(host_failure(settings_.servers, "no whole answer in time"))}; }
    }
    bson_error_t error{};
    if (::mongoc_cursor_error(cursor, &error)) { return broken(error); }
    if (!ignored.text().empty()) {
      settings_.warn(fmt::format("{}: ignored for \"{}\", neither text nor a whole number: {}", settings_.table_name,
                                 printable(key.key()), ignored.text()));
    }
    return {.found = results.take()};
  }

  [[nodiscard]] Asked broken(const bson_error_t& error) const {
    return {.found = failure(host_failure(settings_.servers, printable(error.message))),
            .lost = error.domain != MONGOC_ERROR_SERVER};
  }

  const MongoSettings& settings_;
  Client client_;
};

Result<std::unique_ptr<BlockingConnection>> MongoClient::connect() const {
  return std::make_unique<MongoConnection>(settings_);
}

std::string server_names(const mongoc_uri_t* uri) {
  if (const char* service = ::mongoc_uri_get_srv_hostname(uri)) { return service; }
  std::string names;
  for (const mongoc_host_list_t* host = ::mongoc_uri_get_hosts(uri); host != nullptr; host = host->next) {
    if (!names.empty()) { names += ", "; }
    names += host->host_and_port;
  }
  return names;
}

/// An option that is a time in milliseconds. None, or one that means for ever, becomes `otherwise`.
std::chrono::milliseconds time_limit(mongoc_uri_t* uri, const char* option, std::chrono::milliseconds otherwise) {
  const std::chrono::milliseconds set(::mongoc_uri_get_option_as_int32(uri, option, 0));
  const auto limit = set.count() <= 0 ? otherwise : std::min(set, kLongest);
  (void)::mongoc_uri_set_option_as_int32(uri, option, static_cast<std::int32_t>(limit.count()));
  return limit;
}

Result<> read_uri(const ClientSource& source, MongoSettings& settings) {
  SP_TRY(const std::string text, source.required_text("uri"));
  bson_error_t error{};
  settings.uri.reset(::mongoc_uri_new_with_error(text.c_str(), &error));
  if (!settings.uri) { return failure(fmt::format("{}: uri: {}", source.name(), without_quotations(error.message))); }
  mongoc_uri_t* uri = settings.uri.get();
  settings.servers = server_names(uri);
  settings.connect_timeout = time_limit(uri, MONGOC_URI_CONNECTTIMEOUTMS, kConnect);
  settings.select_timeout =
      std::max(time_limit(uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS, kSelect), settings.connect_timeout);
  settings.answer_timeout = time_limit(uri, MONGOC_URI_SOCKETTIMEOUTMS, kAnswer);
  const std::chrono::milliseconds idle(::mongoc_uri_get_option_as_int32(uri, MONGOC_URI_MAXIDLETIMEMS, 0));
  if (idle.count() > 0) { settings.idle = idle; }
  const int connections = ::mongoc_uri_get_option_as_int32(uri, MONGOC_URI_MAXPOOLSIZE, 0);
  if (connections > 0) { settings.connections = static_cast<std::size_t>(std::min(connections, kMostConnections)); }
  return {};
}

Result<std::string> short_name(const ClientSource& source, std::string_view setting, std::size_t limit) {
  SP_TRY(std::string name, source.required_text(setting));
  if (name.size() > limit) {
    return failure(fmt::format("{}: {}: longer than {} bytes", source.name(), setting, limit));
  }
  return name;
}

Result<ResultFields> read_fields(const ClientSource& source) {
  const std::string projection = source.text("projection");
  const std::string names = source.text("result_attribute");
  if (projection.empty()) { return ResultFields::of_names(names); }
  if (!names.empty()) {
    return failure(fmt::format("{}: projection and result_attribute cannot both be set", source.name()));
  }
  auto fields = ResultFields::of_projection(projection);
  if (!fields) { return failure(fmt::format("{}: projection: {}", source.name(), fields.error().context)); }
  return fields;
}

Result<std::shared_ptr<const BlockingClient>> open_client(std::string_view name, const ModuleContext& context) {
  static std::once_flag initialized;
  std::call_once(initialized, [] {
    ::mongoc_log_set_handler(DriverLog::write, nullptr);
    ::mongoc_init();
  });
  SP_TRY(const ClientSource source, ClientSource::open(name, context));
  MongoSettings settings;
  settings.table_name = fmt::format("mongodb:{}", name);
  settings.warn = context.warn;
  const DriverLog log(settings.table_name, context.warn);
  SP_TRY(read_uri(source, settings));
  SP_TRY(settings.database, short_name(source, "dbname", kDatabaseLength));
  SP_TRY(settings.collection, short_name(source, "collection", kCollectionLength));
  SP_TRY(const std::string filter, source.required_text("query_filter"));
  SP_TRY(settings.filter, FilterTemplate::parse(filter, source.name()));
  if (!settings.filter.has_parts()) {
    context.warn(fmt::format("{}: fixed query_filter {} is probably useless", source.name(), printable(filter)));
  }
  SP_TRY(settings.fields, read_fields(source));
  SP_TRY(settings.results, ResultRules::read(source));
  settings.domains = source.text("domain");
  return std::make_shared<const MongoClient>(std::move(settings));
}

constexpr std::array<ModuleType, 1> kTypes{{{.type = "mongodb", .connect = open_client}}};

}  // namespace
}  // namespace stagepost::maps

const stagepost::maps::Module stagepost_table_module{.types = stagepost::maps::kTypes};
