#include "tls/context.hpp"

#include <fmt/format.h>
#include <openssl/err.h>

#include "base/assert.hpp"
#include "base/text.hpp"
#include "config/snapshot.hpp"
#include "tls/openssl.hpp"

namespace stagepost::tls {
namespace {

std::unexpected<Error> library_failure(std::string_view what) {
  std::string text = take_library_errors();
  for (char& c : text) {
    if (c == '\n') { c = ';'; }
  }
  return failure(fmt::format("{}: {}", what, text), std::errc::protocol_error);
}

/// Verification never ends a handshake: what it found is in SSL_get_verify_result, and policy decides.
int accept_anything(int, X509_STORE_CTX*) { return 1; }

Result<> load_pair(SSL_CTX* context, const std::string& cert_file, const std::string& key_file) {
  if (cert_file.empty() || cert_file == "none") { return {}; }
  const std::string& key = key_file.empty() ? cert_file : key_file;
  if (SSL_CTX_use_certificate_chain_file(context, cert_file.c_str()) != 1) {
    return library_failure("cannot get certificate from file " + cert_file);
  }
  if (SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1) {
    return library_failure("cannot get private key from file " + key);
  }
  if (SSL_CTX_check_private_key(context) != 1) {
    return library_failure("certificate " + cert_file + " does not match private key " + key);
  }
  return {};
}

Result<> load_credentials(SSL_CTX* context, const Credentials& credentials) {
  if (!credentials.chain_files.empty()) {
    // A chain file starts with the key; OpenSSL finds key and certificates in one PEM file by their types.
    for (const auto& file : credentials.chain_files) { SP_TRY(load_pair(context, file, file)); }
  } else {
    SP_TRY(load_pair(context, credentials.cert_file, credentials.key_file));
    SP_TRY(load_pair(context, credentials.dcert_file, credentials.dkey_file));
    SP_TRY(load_pair(context, credentials.eccert_file, credentials.eckey_file));
  }
  if (!credentials.ca_file.empty() && SSL_CTX_load_verify_file(context, credentials.ca_file.c_str()) != 1) {
    return library_failure("cannot load CA certificates from " + credentials.ca_file);
  }
  if (!credentials.ca_path.empty() && SSL_CTX_load_verify_dir(context, credentials.ca_path.c_str()) != 1) {
    return library_failure("cannot use CA directory " + credentials.ca_path);
  }
  if (credentials.append_default_ca && (!credentials.ca_file.empty() || !credentials.ca_path.empty())) {
    SSL_CTX_set_default_verify_paths(context);
    ERR_clear_error();
  }
  return {};
}

void set_groups(SSL_CTX* context, const std::string& names) {
  std::string usable;
  for (const auto name : text::split(names, ", \t\r\n:")) {
    const std::string one(name);
    // A group that this OpenSSL does not have is left out; it must not cost the others.
    if (SSL_CTX_set1_groups_list(context, one.c_str()) == 1) { usable += (usable.empty() ? "" : ":") + one; }
  }
  ERR_clear_error();
  if (!usable.empty()) { SSL_CTX_set1_groups_list(context, usable.c_str()); }
}

Result<> set_protocols(SSL_CTX* context, const ProtocolRange& range) {
  if (SSL_CTX_set_min_proto_version(context, range.minimum) != 1 ||
      SSL_CTX_set_max_proto_version(context, range.maximum) != 1) {
    return library_failure("cannot use this range of TLS protocols");
  }
  SSL_CTX_set_options(context, range.excluded);
  return {};
}

Result<SslContextPtr> new_context(const SSL_METHOD* method, const Credentials& credentials) {
  SslContextPtr context(SSL_CTX_new(method));
  if (!context) { return library_failure("cannot make a TLS context"); }
  // Which versions and ciphers are good enough is said by the parameters alone (tls_*_cipherlist, *_tls_protocols).
  SSL_CTX_set_security_level(context.get(), 0);
  SSL_CTX_set_options(context.get(),
                      SSL_OP_ALL | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_verify_depth(context.get(), credentials.verify_depth);
  SSL_CTX_set_dh_auto(context.get(), 1);
  set_groups(context.get(), credentials.curves);
  SP_TRY(load_credentials(context.get(), credentials));
  return context;
}

Credentials credentials_from(const config::Snapshot& config, std::string_view prefix) {
  const auto value = [&](std::string_view name) { return config.text(fmt::format("{}_tls_{}", prefix, name)); };
  Credentials c;
  c.cert_file = value("cert_file");
  c.key_file = value("key_file");
  c.dcert_file = value("dcert_file");
  c.dkey_file = value("dkey_file");
  c.eccert_file = value("eccert_file");
  c.eckey_file = value("eckey_file");
  c.chain_files = config.list(fmt::format("{}_tls_chain_files", prefix));
  c.ca_file = value("CAfile");
  c.ca_path = value("CApath");
  c.append_default_ca = config.boolean("tls_append_default_CA");
  c.fingerprint_digest = value("fingerprint_digest");
  c.curves = config.text("tls_eecdh_auto_curves");
  // "1", or "0".."4" with words of later releases behind a comma.
  const std::string loglevel = value("loglevel");
  c.loglevel = !loglevel.empty() && text::is_digit(loglevel.front()) ? loglevel.front() - '0' : 0;
  return c;
}

}  // namespace

Result<ServerSettings> ServerSettings::from(const config::Snapshot& config) {
  ServerSettings settings;
  settings.credentials = credentials_from(config, "smtpd");
  settings.credentials.verify_depth = static_cast<int>(config.integer("smtpd_tls_ccert_verifydepth"));
  const std::string level = config.text("smtpd_tls_security_level");
  if (!level.empty()) {
    const auto known = parse_level(level);
    if (!known) { return failure(fmt::format("smtpd_tls_security_level: invalid TLS level \"{}\"", level)); }
    // Levels of the client that ask for certificates mean "encrypt" on a server.
    settings.level = *known == Level::none || *known == Level::may ? *known : Level::encrypt;
  } else if (config.boolean("smtpd_enforce_tls")) {
    settings.level = Level::encrypt;
  } else if (config.boolean("smtpd_use_tls")) {
    settings.level = Level::may;
  }
  const bool mandatory = settings.level == Level::encrypt;
  const char* protocols = mandatory ? "smtpd_tls_mandatory_protocols" : "smtpd_tls_protocols";
  auto range = parse_protocols(config.text(protocols));
  if (!range) { return std::unexpected(std::move(range.error()).within(protocols)); }
  settings.protocols = *range;
  const std::string exclude = config.text("smtpd_tls_exclude_ciphers") +
                              (mandatory ? " " + config.text("smtpd_tls_mandatory_exclude_ciphers") : "");
  const char* grade = mandatory ? "smtpd_tls_mandatory_ciphers" : "smtpd_tls_ciphers";
  auto ciphers = cipher_list(config, config.text(grade), exclude);
  if (!ciphers) { return std::unexpected(std::move(ciphers.error()).within(grade)); }
  settings.ciphers = std::move(*ciphers);
  // Without mandatory TLS a client could go round the requirement, so Postfix only asks then.
  settings.require_certificate = config.boolean("smtpd_tls_req_ccert") && mandatory;
  settings.ask_certificate = config.boolean("smtpd_tls_ask_ccert") || config.boolean("smtpd_tls_req_ccert");
  settings.preempt_cipherlist = config.boolean("tls_preempt_cipherlist");
  settings.session_lifetime = config.seconds("smtpd_tls_session_cache_timeout");
  settings.session_tickets = settings.session_lifetime.count() > 0;
  return settings;
}

ServerContext::ServerContext(ServerSettings settings, SSL_CTX* context)
    : settings_(std::move(settings)), context_(context) {}
ServerContext::~ServerContext() { SSL_CTX_free(context_); }

Result<std::shared_ptr<const ServerContext>> ServerContext::create(ServerSettings settings) {
  const Credentials& credentials = settings.credentials;
  const bool has_certificate = !credentials.chain_files.empty() || !credentials.cert_file.empty() ||
                               !credentials.dcert_file.empty() || !credentials.eccert_file.empty();
  if (!has_certificate) { return failure("No server certs available. TLS won't be enabled"); }
  SP_TRY(SslContextPtr context, new_context(TLS_server_method(), credentials));
  SSL_CTX* const ctx = context.get();
  SP_TRY(set_protocols(ctx, settings.protocols));
  if (SSL_CTX_set_cipher_list(ctx, settings.ciphers.c_str()) != 1) {
    return library_failure("invalid cipher list \"" + settings.ciphers + "\"");
  }
  if (settings.preempt_cipherlist) { SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE); }
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_session_id_context(ctx, reinterpret_cast<const unsigned char*>("smtpd"), 5);
  SSL_CTX_set_timeout(ctx, settings.session_lifetime.count());
  if (settings.session_tickets) {
    SSL_CTX_set_num_tickets(ctx, 1);
  } else {
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(ctx, 0);
  }
  if (settings.ask_certificate) {
    SSL_CTX_set_verify(
        ctx,
        SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE | (settings.require_certificate ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
        &accept_anything);
    if (!credentials.ca_file.empty()) {
      SSL_CTX_set_client_CA_list(ctx, SSL_load_client_CA_file(credentials.ca_file.c_str()));
    }
  }
  ERR_clear_error();
  return std::shared_ptr<const ServerContext>(new ServerContext(std::move(settings), context.release()));
}

ClientContext::ClientContext(Credentials credentials, SSL_CTX* context)
    : credentials_(std::move(credentials)), context_(context) {}
ClientContext::~ClientContext() { SSL_CTX_free(context_); }

Result<std::shared_ptr<const ClientContext>> ClientContext::create(Credentials credentials) {
  SP_TRY(SslContextPtr context, new_context(TLS_client_method(), credentials));
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, &accept_anything);
  ERR_clear_error();
  return std::shared_ptr<const ClientContext>(new ClientContext(std::move(credentials), context.release()));
}

Result<std::shared_ptr<const ClientContext>> ClientContext::from(const config::Snapshot& config,
                                                                 std::string_view prefix) {
  Credentials credentials = credentials_from(config, prefix);
  credentials.verify_depth = static_cast<int>(config.integer(fmt::format("{}_tls_scert_verifydepth", prefix)));
  return create(std::move(credentials));
}

}  // namespace stagepost::tls
