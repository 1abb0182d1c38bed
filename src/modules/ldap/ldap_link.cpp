// See ldap_link.hpp.
#include "ldap_link.hpp"

#include <csignal>
#include <ctime>
#include <mutex>
#include <sasl/sasl.h>
#include <sys/time.h>
#include <utility>

#include <fmt/format.h>

#include "maps/lookup.hpp"

namespace stagepost::maps {
namespace {

/// The library writes to connections that may be gone. In a command nobody else keeps SIGPIPE away.
class PipeSignalBlocked {
 public:
  PipeSignalBlocked() {
    ::sigemptyset(&pipe_);
    ::sigaddset(&pipe_, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~PipeSignalBlocked() {
    const struct timespec now{};
    if (::sigismember(&before_, SIGPIPE) == 0) {
      while (::sigtimedwait(&pipe_, nullptr, &now) > 0) {}
    }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  PipeSignalBlocked(const PipeSignalBlocked&) = delete;
  PipeSignalBlocked& operator=(const PipeSignalBlocked&) = delete;

 private:
  sigset_t pipe_{};
  sigset_t before_{};
};

struct timeval timeval_of(SteadyClock::duration time) {
  const auto left = std::max(std::chrono::duration_cast<std::chrono::microseconds>(time), std::chrono::microseconds(1));
  struct timeval value{};
  value.tv_sec = left.count() / 1'000'000;
  value.tv_usec = left.count() % 1'000'000;
  return value;
}

/// Codes after which the connection, or the server behind it, is of no use.
bool ends_link(int code) {
  switch (code) {
    case LDAP_SERVER_DOWN:
    case LDAP_LOCAL_ERROR:
    case LDAP_ENCODING_ERROR:
    case LDAP_DECODING_ERROR:
    case LDAP_TIMEOUT:
    case LDAP_CONNECT_ERROR:
    case LDAP_UNAVAILABLE:
    case LDAP_BUSY:
    case LDAP_NO_MEMORY:
      return true;
    default:
      return false;
  }
}

int scope_code(LdapScope scope) {
  switch (scope) {
    case LdapScope::base:
      return LDAP_SCOPE_BASE;
    case LdapScope::one:
      return LDAP_SCOPE_ONELEVEL;
    case LdapScope::sub:
      return LDAP_SCOPE_SUBTREE;
  }
  return LDAP_SCOPE_SUBTREE;
}

/// Answers what a SASL mechanism wants to know.
int answer_sasl(LDAP* /*handle*/, unsigned /*flags*/, void* defaults, void* questions) {
  const auto* settings = static_cast<const LdapConnectionSettings*>(defaults);
  for (auto* question = static_cast<sasl_interact_t*>(questions); question->id != SASL_CB_LIST_END; ++question) {
    const std::string* answer = nullptr;
    switch (question->id) {
      case SASL_CB_GETREALM:
        answer = &settings->sasl_realm;
        break;
      case SASL_CB_AUTHNAME:
        answer = &settings->bind_dn;
        break;
      case SASL_CB_PASS:
        answer = &settings->bind_password;
        break;
      case SASL_CB_USER:
        answer = &settings->sasl_authorization_id;
        break;
      default:
        break;
    }
    question->result = answer != nullptr ? answer->c_str() : "";
    question->len = answer != nullptr ? static_cast<unsigned>(answer->size()) : 0;
  }
  return LDAP_SUCCESS;
}

}  // namespace

std::unexpected<Error> LdapLink::failed(int code, std::string_view what) {
  lost_ = lost_ || ends_link(code);
  char* detail = nullptr;
  (void)::ldap_get_option(handle_.get(), LDAP_OPT_DIAGNOSTIC_MESSAGE, static_cast<void*>(&detail));
  std::string message = fmt::format("{}: {}: {}", what, code, ::ldap_err2string(code));
  if (detail != nullptr && detail[0] != '\0') { message += fmt::format(" ({})", detail); }
  if (detail != nullptr) { ::ldap_memfree(detail); }
  return failure(std::move(message));
}

Result<std::unique_ptr<LdapLink>> LdapLink::connect(const LdapConnectionSettings& settings, const std::string& uri) {
  const PipeSignalBlocked blocked;
  LDAP* raw = nullptr;
  {
    // The library's first use sets up what all handles share.
    static std::mutex first_use;
    const std::lock_guard lock(first_use);
    if (settings.debug_level != 0) { (void)::ldap_set_option(nullptr, LDAP_OPT_DEBUG_LEVEL, &settings.debug_level); }
    if (const int code = ::ldap_initialize(&raw, uri.c_str()); code != LDAP_SUCCESS) {
      return failure(fmt::format("connect: {}: {}", code, ::ldap_err2string(code)));
    }
  }
  std::unique_ptr<LdapLink> link(new LdapLink(settings, Handle(raw)));
  SP_TRY(link->set_options());
  SP_TRY(link->set_tls_options());
  if (settings.start_tls) {
    if (const int code = ::ldap_start_tls_s(raw, nullptr, nullptr); code != LDAP_SUCCESS) {
      return link->failed(code, "STARTTLS");
    }
  }
  SP_TRY(link->bind());
  return link;
}

Result<> LdapLink::set_options() {
  LDAP* handle = handle_.get();
  const struct timeval timeout = timeval_of(settings_.timeout);
  const auto set = [&](int option, const void* value) -> Result<> {
    const int code = ::ldap_set_option(handle, option, value);
    if (code != LDAP_OPT_SUCCESS) { return failed(code, "set option"); }
    return {};
  };
  SP_TRY(set(LDAP_OPT_PROTOCOL_VERSION, &settings_.version));
  SP_TRY(set(LDAP_OPT_NETWORK_TIMEOUT, &timeout));
  // Of the calls that wait inside the library.
  SP_TRY(set(LDAP_OPT_TIMEOUT, &timeout));
  SP_TRY(set(LDAP_OPT_DEREF, &settings_.dereference));
  return set(LDAP_OPT_REFERRALS, settings_.chase_referrals ? LDAP_OPT_ON : LDAP_OPT_OFF);
}

Result<> LdapLink::set_tls_options() {
  LDAP* handle = handle_.get();
  const std::pair<int, const std::string*> texts[] = {
      {LDAP_OPT_X_TLS_CACERTDIR, &settings_.tls_ca_directory},
      {LDAP_OPT_X_TLS_CACERTFILE, &settings_.tls_ca_file},
      {LDAP_OPT_X_TLS_CERTFILE, &settings_.tls_certificate},
      {LDAP_OPT_X_TLS_KEYFILE, &settings_.tls_key},
      {LDAP_OPT_X_TLS_RANDOM_FILE, &settings_.tls_random_file},
      {LDAP_OPT_X_TLS_CIPHER_SUITE, &settings_.tls_cipher_suite},
  };
  for (const auto& [option, text] : texts) {
    if (text->empty()) { continue; }
    if (const int code = ::ldap_set_option(handle, option, text->c_str()); code != LDAP_OPT_SUCCESS) {
      return failed(code, "set TLS option to " + *text);
    }
  }
  const int require = settings_.tls_require_certificate ? LDAP_OPT_X_TLS_DEMAND : LDAP_OPT_X_TLS_NEVER;
  if (const int code = ::ldap_set_option(handle, LDAP_OPT_X_TLS_REQUIRE_CERT, &require); code != LDAP_OPT_SUCCESS) {
    return failed(code, "set TLS option");
  }
  // Otherwise the options would be those of the handle that was made first.
  const int client = 0;
  if (const int code = ::ldap_set_option(handle, LDAP_OPT_X_TLS_NEWCTX, &client); code != LDAP_OPT_SUCCESS) {
    return failed(code, "set up TLS");
  }
  return {};
}

Result<> LdapLink::bind() {
  switch (settings_.bind) {
    case LdapBind::none:
      return {};
    case LdapBind::simple:
      return bind_simple();
    case LdapBind::sasl:
      return bind_sasl();
  }
  return {};
}

Result<> LdapLink::bind_simple() {
  const std::string what =
      settings_.bind_dn.empty() ? std::string("bind") : fmt::format("bind as \"{}\"", settings_.bind_dn);
  struct berval password{};
  password.bv_val = const_cast<char*>(settings_.bind_password.c_str());
  password.bv_len = settings_.bind_password.size();
  int operation = 0;
  int code = ::ldap_sasl_bind(handle_.get(), settings_.bind_dn.c_str(), LDAP_SASL_SIMPLE, &password, nullptr, nullptr,
                              &operation);
  if (code != LDAP_SUCCESS) { return failed(code, what); }
  auto answer = next_message(operation, deadline_);
  if (!answer) { return std::unexpected(std::move(answer).error().within(what)); }
  int result = LDAP_SUCCESS;
  code = ::ldap_parse_result(handle_.get(), answer->get(), &result, nullptr, nullptr, nullptr, nullptr, 0);
  if (code == LDAP_SUCCESS) { code = result; }
  if (code != LDAP_SUCCESS) { return failed(code, what); }
  return {};
}

Result<> LdapLink::bind_sasl() {
  LDAP* handle = handle_.get();
  if (settings_.sasl_minimum_strength > 0) {
    const std::string properties = fmt::format("minssf={}", settings_.sasl_minimum_strength);
    if (const int code = ::ldap_set_option(handle, LDAP_OPT_X_SASL_SECPROPS, properties.c_str());
        code != LDAP_OPT_SUCCESS) {
      return failed(code, "set option");
    }
  }
  const char* mechanisms = settings_.sasl_mechanisms.empty() ? nullptr : settings_.sasl_mechanisms.c_str();
  const int code = ::ldap_sasl_interactive_bind_s(handle, nullptr, mechanisms, nullptr, nullptr, LDAP_SASL_QUIET,
                                                  answer_sasl, const_cast<LdapConnectionSettings*>(&settings_));
  if (code != LDAP_SUCCESS) { return failed(code, "SASL bind"); }
  return {};
}

Result<LdapLink::Message> LdapLink::next_message(int operation, Deadline deadline) {
  LDAPMessage* raw = nullptr;
  struct timeval left = timeval_of(deadline.at() - SteadyClock::now());
  const int kind = deadline.passed() ? 0 : ::ldap_result(handle_.get(), operation, LDAP_MSG_ONE, &left, &raw);
  Message message(raw);
  if (kind > 0) { return message; }
  if (kind == 0) {
    (void)::ldap_abandon_ext(handle_.get(), operation, nullptr, nullptr);
    lost_ = true;
    return failure(fmt::format("no answer within {} seconds", settings_.timeout.count()));
  }
  int code = LDAP_SERVER_DOWN;
  (void)::ldap_get_option(handle_.get(), LDAP_OPT_RESULT_CODE, &code);
  lost_ = true;
  return failed(code, "no answer");
}

Result<LdapEntry> LdapLink::read_entry(LDAPMessage* message, std::size_t& bytes) {
  struct BerEnd {
    void operator()(BerElement* position) const { ::ber_free(position, 0); }
  };
  struct NameEnd {
    void operator()(char* name) const { ::ldap_memfree(name); }
  };
  struct ValuesEnd {
    void operator()(struct berval** values) const { ::ldap_value_free_len(values); }
  };
  LdapEntry entry;
  BerElement* raw_position = nullptr;
  std::unique_ptr<char, NameEnd> name(::ldap_first_attribute(handle_.get(), message, &raw_position));
  const std::unique_ptr<BerElement, BerEnd> position(raw_position);
  while (name) {
    auto& attribute = entry.attributes.emplace_back(name.get(), std::vector<std::string>());
    const std::unique_ptr<struct berval*, ValuesEnd> values(::ldap_get_values_len(handle_.get(), message, name.get()));
    for (struct berval** value = values.get(); value != nullptr && *value != nullptr; ++value) {
      attribute.second.emplace_back((*value)->bv_val, (*value)->bv_len);
      bytes += (*value)->bv_len;
      if (attribute.second.back().contains('\0')) {
        return failure(fmt::format("a value of attribute {} has a NUL byte", attribute.first));
      }
    }
    if (bytes > kValueLimit) { return failure("answer is too long"); }
    name.reset(::ldap_next_attribute(handle_.get(), message, position.get()));
  }
  return entry;
}

Result<std::optional<std::vector<LdapEntry>>> LdapLink::search(const LdapSearch& search) {
  const PipeSignalBlocked blocked;
  LDAP* handle = handle_.get();
  std::vector<std::string> names = search.attributes;
  // RFC 4511 §4.5.1.8: none, instead of all.
  if (names.empty()) { names.emplace_back(LDAP_NO_ATTRS); }
  std::vector<char*> attributes;
  for (std::string& name : names) { attributes.push_back(name.data()); }
  attributes.push_back(nullptr);
  const Deadline deadline = Deadline::earlier(deadline_, within(settings_.timeout));
  struct timeval timeout = timeval_of(settings_.timeout);
  int operation = 0;
  int code = ::ldap_search_ext(handle, search.base.c_str(), scope_code(search.scope), search.filter.c_str(),
                               attributes.data(), 0, nullptr, nullptr, &timeout, settings_.size_limit, &operation);
  if (code != LDAP_SUCCESS) { return failed(code, "search"); }
  std::vector<LdapEntry> entries;
  std::size_t bytes = 0;
  while (true) {
    SP_TRY(const Message message, next_message(operation, deadline));
    const int kind = ::ldap_msgtype(message.get());
    if (kind == LDAP_RES_SEARCH_ENTRY) {
      auto entry = read_entry(message.get(), bytes);
      if (!entry) {
        (void)::ldap_abandon_ext(handle, operation, nullptr, nullptr);
        return std::unexpected(std::move(entry).error());
      }
      entries.push_back(*std::move(entry));
    } else if (kind == LDAP_RES_SEARCH_RESULT) {
      int result = LDAP_SUCCESS;
      code = ::ldap_parse_result(handle, message.get(), &result, nullptr, nullptr, nullptr, nullptr, 0);
      if (code == LDAP_SUCCESS) { code = result; }
      break;
    }
    // Others are references to other servers, which are not followed here.
  }
  if (code == LDAP_NO_SUCH_OBJECT) { return std::optional<std::vector<LdapEntry>>(); }
  if (code != LDAP_SUCCESS) { return failed(code, "search"); }
  return std::optional(std::move(entries));
}

std::optional<LdapSearch> LdapLink::parse_url(const std::string& text) const {
  if (::ldap_is_ldap_url(text.c_str()) == 0) { return std::nullopt; }
  struct UrlEnd {
    void operator()(LDAPURLDesc* url) const { ::ldap_free_urldesc(url); }
  };
  LDAPURLDesc* raw = nullptr;
  if (::ldap_url_parse(text.c_str(), &raw) != LDAP_URL_SUCCESS) { return std::nullopt; }
  const std::unique_ptr<LDAPURLDesc, UrlEnd> url(raw);
  LdapSearch search;
  search.base = url->lud_dn != nullptr ? url->lud_dn : "";
  if (url->lud_filter != nullptr) { search.filter = url->lud_filter; }
  if (url->lud_scope == LDAP_SCOPE_ONELEVEL) { search.scope = LdapScope::one; }
  if (url->lud_scope == LDAP_SCOPE_SUBTREE) { search.scope = LdapScope::sub; }
  for (char** name = url->lud_attrs; name != nullptr && *name != nullptr; ++name) {
    search.attributes.emplace_back(*name);
  }
  return search;
}

}  // namespace stagepost::maps
