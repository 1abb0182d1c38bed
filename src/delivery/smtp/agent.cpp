#include "delivery/smtp/agent.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/defer.hpp"
#include "base/text.hpp"
#include "delivery/smtp/content.hpp"
#include "log/log.hpp"
#include "mail/hostname.hpp"
#include "net/socket_stream.hpp"

namespace stagepost::smtp_client {

struct Agent::Run {
  delivery::Attempt& attempt;
  tls::ClientPolicy policy;
  /// The message has addresses or header fields that need SMTPUTF8.
  bool needs_smtputf8 = false;
  /// What went wrong last, and with whom.
  std::optional<Failure> failure;
  std::string relay = "none";

  [[nodiscard]] const std::string& queue_id() const { return attempt.request().queue_id; }
  [[nodiscard]] bool finished() const { return attempt.pending().empty(); }

  void note(Failure what, std::string where) {
    failure = std::move(what);
    relay = std::move(where);
  }
  /// Recipients without a fate get the last failure.
  net::Task<> settle() {
    if (finished() || !failure) { co_return; }
    if (failure->of_session && !failure->permanent) {
      attempt.set_destination_failure({failure->status.code, failure->status.text});
    }
    co_await attempt.record_rest(to_outcome(*failure, relay));
  }
};

namespace {

Result<bool> needs_smtputf8(delivery::Attempt& attempt) {
  const auto& request = attempt.request();
  if (!request.smtputf8) { return false; }
  if (!text::is_ascii(request.sender)) { return true; }
  for (const auto& recipient : request.recipients) {
    if (!text::is_ascii(recipient.address)) { return true; }
  }
  return has_eight_bit_header(attempt.reader(), attempt.envelope());
}

Envelope make_envelope(const delivery::DeliverRequest& request,
                       const std::vector<clients::RecipientRecord>& recipients) {
  Envelope envelope{.sender = request.sender,
                    .size_bytes = request.size_bytes,
                    .eight_bit = text::iequals(request.encoding, "8bit"),
                    .smtputf8 = request.smtputf8,
                    .dsn_envid = request.dsn_envid,
                    .dsn_ret = request.dsn_ret,
                    .probe = (request.flags & delivery::kProbe) != 0,
                    .recipients = {}};
  for (const auto& recipient : recipients) {
    envelope.recipients.push_back({recipient.address, recipient.notify, recipient.dsn_original});
  }
  return envelope;
}

}  // namespace

Result<std::shared_ptr<Resources>> Resources::open(const config::Snapshot& config, Protocol protocol,
                                                   const maps::OpenContext& context) {
  const std::string prefix(prefix_of(protocol));
  auto resources = std::make_shared<Resources>();
  resources->self = find_self(config);
  const auto table = [&](const std::string& name) { return maps::Chain::open(name, config.text(name), context); };
  SP_TRY(resources->policy_maps, table(prefix + "_tls_policy_maps"));
  if (config.boolean(prefix + "_sasl_auth_enable")) {
    SP_TRY(resources->sasl_passwords, table(prefix + "_sasl_password_maps"));
  }
  const std::string cached = prefix + "_connection_cache_destinations";
  SP_TRY(resources->cached_destinations,
         maps::MatchList::create(cached, config.text(cached), {.style = maps::MatchStyle::strings}, context));
  if (tls::client_policy(config, prefix).level != tls::Level::none || !resources->policy_maps.empty()) {
    auto tls = tls::ClientContext::from(config, prefix);
    if (tls) {
      resources->tls = std::move(*tls);
    } else {
      log::warning("TLS is disabled: {}", tls.error().message());
    }
  }
  return resources;
}

Agent::Agent(net::EventLoop& loop, config::SnapshotPtr config, Settings settings,
             std::unique_ptr<dns::Resolver> resolver, std::shared_ptr<Resources> resources)
    : loop_(loop),
      config_(std::move(config)),
      settings_(std::move(settings)),
      resolver_(std::move(resolver)),
      lookup_(*resolver_, settings_, resources->self),
      resources_(std::move(resources)),
      cache_(loop, settings_) {}

Result<std::unique_ptr<Agent>> Agent::create(net::EventLoop& loop, config::SnapshotPtr config, Protocol protocol,
                                             std::shared_ptr<Resources> resources) {
  const std::string prefix(prefix_of(protocol));
  SP_TRY(auto settings, Settings::from(*config, protocol));
  SP_TRY(auto resolver_settings, dns::ResolverSettings::from(*config));
  SP_TRY(auto resolver, dns::Resolver::create(loop, std::move(resolver_settings)));
  std::unique_ptr<Agent> agent(
      new Agent(loop, std::move(config), std::move(settings), std::move(resolver), std::move(resources)));
  agent->default_policy_ = tls::client_policy(*agent->config_, prefix);
  if (!agent->config_->text(prefix + "_tls_per_site").empty()) {
    agent->default_policy_.refuse = prefix + "_tls_per_site is not supported";
  }
  return agent;
}

net::Task<tls::ClientPolicy> Agent::policy_for(Destination destination) {
  if (resources_->policy_maps.empty()) { co_return default_policy_; }
  // TLS_README: the nexthop as it is, then, for a plain domain, its parents as ".parent".
  std::vector<std::string> keys{destination.text};
  if (destination.lookup_mx) {
    std::string_view parent = mail::parent_domain(destination.host);
    for (int levels = 0; levels < 10 && !parent.empty(); ++levels) {
      keys.push_back("." + std::string(parent));
      parent = mail::parent_domain(parent);
    }
  }
  for (const auto& key : keys) {
    const auto found = co_await resources_->policy_maps.find(key);
    if (!found) {
      tls::ClientPolicy refused = default_policy_;
      refused.refuse = "TLS policy table lookup error for " + key;
      co_return refused;
    }
    if (*found) { co_return tls::policy_from_table(*config_, prefix_of(settings_.protocol), **found); }
  }
  co_return default_policy_;
}

net::Task<std::optional<Failure>> Agent::needs_authentication(const Destination& destination) {
  if (resources_->sasl_passwords.empty()) { co_return std::nullopt; }
  for (const auto& key : {destination.text, destination.host}) {
    const auto found = co_await resources_->sasl_passwords.find(key);
    if (!found) { co_return temporary("4.7.0", "SASL password table lookup error"); }
    if (*found) {
      co_return temporary("4.7.0",
                          fmt::format("SASL authentication for {} is not supported by this client", destination.text));
    }
  }
  co_return std::nullopt;
}

void Agent::set_connection_limit(std::size_t connections) {
  connection_limit_ = connections;
  make_room();
}

/// Before a connection is opened.
void Agent::make_room() {
  while (cache_.size() > 0 && cache_.size() + running_ > connection_limit_) { cache_.drop_oldest(); }
}

net::Task<> Agent::deliver(delivery::Attempt& attempt) {
  ++running_;
  const Defer ended([this] { --running_; });
  Run run{.attempt = attempt, .policy = {}, .needs_smtputf8 = false, .failure = std::nullopt, .relay = "none"};
  const auto utf8 = needs_smtputf8(attempt);
  if (!utf8) {
    run.note(temporary("4.3.0", "unreadable queue file: " + utf8.error().message()), "none");
    run.failure->of_session = false;
    co_await run.settle();
    co_return;
  }
  run.needs_smtputf8 = *utf8;

  std::vector<std::string> texts = split_destinations(attempt.request().nexthop);
  const std::size_t own = texts.size();
  for (const auto& fallback : settings_.fallback_relay) {
    if (std::ranges::find(texts, fallback) == texts.end()) { texts.push_back(fallback); }
  }
  if (own == 0) {
    run.note(temporary("4.3.5", "no destination in delivery request"), "none");
    run.failure->of_session = false;
  }
  for (std::size_t i = 0; i < texts.size() && own > 0 && !run.finished(); ++i) {
    auto destination = parse_destination(texts[i], settings_);
    if (!destination) {
      log::warning("{}", destination.error().context);
      run.note(permanent("5.4.4", destination.error().context), "none");
      run.failure->of_session = false;
      continue;
    }
    co_await try_destination(run, std::move(*destination), i + 1 == texts.size());
  }
  co_await run.settle();
}

net::Task<> Agent::try_destination(Run& run, Destination destination, bool last_destination) {
  run.policy = co_await policy_for(destination);
  if (!run.policy.refuse.empty()) {
    // Never weaker than configured: without the policy there is no delivery.
    log::warning("{}: TLS policy for {}: {}", run.queue_id(), destination.text, run.policy.refuse);
    run.note(temporary("4.7.5", run.policy.refuse), "none");
    co_return;
  }
  const auto unauthenticated = co_await needs_authentication(destination);
  if (unauthenticated) {
    log::warning("{}: {}", run.queue_id(), unauthenticated->status.text);
    run.note(*unauthenticated, "none");
    co_return;
  }
  co_await try_cached(run, destination);
  if (run.finished()) { co_return; }
  if (destination.is_unix) {
    co_await try_unix(run, destination, last_destination);
    co_return;
  }
  const auto servers = co_await lookup_.find(destination);
  if (!servers) {
    Failure failure = servers.error();
    failure.of_session = !failure.permanent;
    run.note(std::move(failure), "none");
    co_return;
  }
  std::size_t sessions = 0;
  for (std::size_t i = 0; i < servers->size() && !run.finished(); ++i) {
    const bool last_session = settings_.session_limit > 0 && sessions + 1 >= settings_.session_limit;
    const bool last = last_destination && (i + 1 == servers->size() || last_session);
    const bool counted = co_await try_server(run, destination, (*servers)[i], last);
    if (counted && ++sessions >= settings_.session_limit && settings_.session_limit > 0) { break; }
  }
}

net::Task<> Agent::try_cached(Run& run, const Destination& destination) {
  auto session = cache_.take(destination.text + "\n" + run.policy.key());
  if (!session) { co_return; }
  co_await send(run, *session, false);
  co_await give_back(run, destination, std::move(session));
}

net::Task<> Agent::try_unix(Run& run, const Destination& destination, bool last) {
  make_room();
  const std::string host = host_and_address(settings_.myhostname, destination.path);
  const Deadline deadline =
      settings_.connect_timeout.count() > 0 ? within(settings_.connect_timeout) : Deadline::never();
  auto stream = co_await net::connect_unix(loop_, destination.path, deadline);
  if (!stream) {
    Failure failure = not_connected(host, stream.error());
    log::info("{}", failure.status.text);
    run.note(std::move(failure), "none");
    co_return;
  }
  // TLS makes no sense on a socket of this machine.
  run.policy = {};
  bool ignored = false;
  [[maybe_unused]] const bool counted =
      co_await use_stream(run, destination, std::move(*stream), host, host, "", last, ignored);
}

net::Task<bool> Agent::try_server(Run& run, const Destination& destination, const Candidate& server, bool last) {
  const net::Endpoint endpoint{server.address, destination.port};
  const std::string host = host_and_address(server.host, server.address.text());
  const std::string relay = fmt::format("{}:{}", host, destination.port);
  const auto local = server.address.family() == net::Family::ipv6 ? settings_.bind_ipv6 : settings_.bind_ipv4;
  std::string server_name;
  if (run.policy.servername == "hostname") {
    server_name = server.host;
  } else if (run.policy.servername == "nexthop") {
    server_name = destination.host;
  } else {
    server_name = run.policy.servername;
  }

  make_room();
  bool counted = false;
  bool plaintext_retry = false;
  // Twice at most: the second time without TLS, after an opportunistic handshake failed.
  for (int round = 0; round < 2; ++round) {
    const Deadline deadline =
        settings_.connect_timeout.count() > 0 ? within(settings_.connect_timeout) : Deadline::never();
    auto stream = co_await net::connect_tcp(loop_, endpoint, local, deadline);
    if (!stream) {
      Failure failure = not_connected(relay, stream.error());
      log::info("{}", failure.status.text);
      run.note(std::move(failure), "none");
      co_return counted;
    }
    const tls::Level level = run.policy.level;
    if (plaintext_retry) { run.policy.level = tls::Level::none; }
    bool retry = false;
    counted = co_await use_stream(run, destination, std::move(*stream), host, relay, server_name, last, retry);
    run.policy.level = level;
    if (!retry || plaintext_retry) { break; }
    plaintext_retry = true;
  }
  if (last) { co_await run.settle(); }
  co_return counted;
}

net::Task<bool> Agent::use_stream(Run& run, const Destination& destination, std::unique_ptr<net::Stream> stream,
                                  std::string host, std::string relay, std::string server_name, bool last,
                                  bool& retry_in_plaintext) {
  auto session = std::make_unique<Session>(std::move(stream), host, relay, settings_);
  auto opened = co_await session->open(run.policy, resources_->tls, std::move(server_name));
  if (!opened) {
    retry_in_plaintext = opened.error().retry_in_plaintext;
    run.note(opened.error().failure, relay);
    co_await session->quit();
    if (run.failure->permanent || (last && !retry_in_plaintext)) {
      co_await run.settle();
    } else {
      log::info("{}: {}", run.queue_id(), run.failure->status.text);
    }
    co_return false;
  }
  co_await send(run, *session, last);
  co_await give_back(run, destination, std::move(session));
  co_return true;
}

net::Task<> Agent::send(Run& run, Session& session, bool last) {
  delivery::Attempt& attempt = run.attempt;
  const auto& request = attempt.request();
  attempt.timing().connected = delivery::Timing::Clock::now();
  const smtp::Capabilities server = session.server();

  std::optional<Failure> unable;
  if (run.needs_smtputf8 && !server.has(smtp::Feature::smtputf8)) {
    unable = permanent("5.6.7", fmt::format("SMTPUTF8 is required, but was not offered by host {}", session.host()));
  } else if (server.size_limit_bytes > 0 && request.size_bytes > server.size_limit_bytes) {
    unable = permanent("5.3.4", fmt::format("message size {} exceeds size limit {} of server {}", request.size_bytes,
                                            server.size_limit_bytes, session.host()));
  }
  if (unable) {
    unable->of_session = false;
    run.note(*unable, session.relay());
    co_await run.settle();
    co_return;
  }

  const auto recipients = attempt.pending();
  Envelope envelope = make_envelope(request, recipients);
  const bool convert =
      settings_.mime_output_conversion && envelope.eight_bit && !server.has(smtp::Feature::eight_bit_mime);
  Transaction transaction(std::move(envelope), server, settings_, session.host());
  const bool alive = co_await session.transact(transaction, attempt, convert);
  if (!alive) { co_return; }  // only a kept one is not; the destination has not been tried yet

  std::vector<std::string> logged;
  for (std::size_t i = 0; i < recipients.size(); ++i) {
    const auto& fate = transaction.fates()[i];
    delivery::Outcome outcome;
    if (fate && fate->delivered) {
      outcome.relay = session.relay();
      outcome.status = {fate->code, fate->reply};
      outcome.remote_mta = session.host().substr(0, session.host().find('['));
      outcome.diagnostic_type = "smtp";
      outcome.diagnostic = fate->reply;
      outcome.report_success = !server.has(smtp::Feature::dsn);
      outcome.success_action = settings_.assume_final ? clients::RecipientReport::Action::delivered
                                                      : clients::RecipientReport::Action::relayed;
    } else {
      const Failure failure = fate ? fate->failure : temporary("4.3.0", "delivery was not finished");
      if (!failure.permanent && !last) {
        // Another server may take this recipient.
        if (std::ranges::find(logged, failure.status.text) == logged.end()) {
          log::info("{}: {}", run.queue_id(), failure.status.text);
          logged.push_back(failure.status.text);
        }
        run.note(failure, session.relay());
        continue;
      }
      if (failure.of_session && !failure.permanent) {
        attempt.set_destination_failure({failure.status.code, failure.status.text});
      }
      outcome = to_outcome(failure, session.relay());
    }
    if (session.uses > 1) { outcome.log_fields = fmt::format("conn_use={}, ", session.uses); }
    [[maybe_unused]] const auto kind = co_await attempt.record(recipients[i], std::move(outcome));
  }
}

net::Task<> Agent::give_back(Run& run, const Destination& destination, std::unique_ptr<Session> session) {
  if (session->usable()) {
    bool wanted = settings_.cache_on_demand && (run.attempt.request().flags & delivery::kSaveSession) != 0;
    if (!wanted && !resources_->cached_destinations.empty()) {
      const auto listed = co_await resources_->cached_destinations.matches({.name = destination.text});
      wanted = listed && *listed;
    }
    if (wanted && cache_.size() + running_ <= connection_limit_) {
      session = cache_.keep(destination.text + "\n" + run.policy.key(), std::move(session));
      if (!session) { co_return; }
    }
  }
  co_await session->quit();
}

}  // namespace stagepost::smtp_client
