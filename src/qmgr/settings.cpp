#include "qmgr/settings.hpp"

#include "config/master_cf.hpp"
#include "log/log.hpp"

namespace stagepost::qmgr {
namespace {

std::size_t count_of(std::int64_t value) { return value < 0 ? 0 : static_cast<std::size_t>(value); }

/// A bad value of one transport is no reason to stop the mail: the documented default is used and the log says so.
Feedback feedback(const config::Snapshot& config, std::string_view transport, std::string_view suffix) {
  const std::string value = config.text(transport, suffix);
  const auto parsed = Feedback::parse(value);
  if (parsed) { return *parsed; }
  log::warning("{}{}: {}; using 1 instead", transport, suffix, parsed.error().message());
  return {};
}

}  // namespace

Result<ServiceLimits> read_service_limits(const config::Snapshot& config) {
  SP_TRY(const auto services, config::read_master_cf(config.config_directory() + "/master.cf"));
  const std::size_t usual = count_of(config.integer("default_process_limit"));
  ServiceLimits limits;
  for (const config::ServiceEntry& service : services.services) {
    if (service.type != config::ServiceType::unix_stream) { continue; }
    limits[service.name] = service.maxproc ? *service.maxproc : usual;
  }
  return limits;
}

Result<Settings> Settings::from(config::SnapshotPtr snapshot, ServiceLimits services) {
  const config::Snapshot& config = *snapshot;
  Settings settings;
  settings.retry = {.minimal_backoff_time = config.seconds("minimal_backoff_time"),
                    .maximal_backoff_time = config.seconds("maximal_backoff_time"),
                    .maximal_queue_lifetime = config.seconds("maximal_queue_lifetime"),
                    .bounce_queue_lifetime = config.seconds("bounce_queue_lifetime")};
  settings.message_active_limit = count_of(config.integer("qmgr_message_active_limit"));
  settings.message_recipient_limit = count_of(config.integer("qmgr_message_recipient_limit"));
  settings.message_recipient_minimum =
      std::max<std::size_t>(1, count_of(config.integer("qmgr_message_recipient_minimum")));
  settings.scheduler = {.minimal_backoff_time = settings.retry.minimal_backoff_time,
                        .transport_retry_time = config.seconds("transport_retry_time"),
                        .dead_limit = settings.message_recipient_limit};
  settings.verp_bounces = !config.boolean("disable_verp_bounces");
  settings.routing = {.double_bounce_sender = config.text("double_bounce_sender"),
                      .defer_transports = config.list("defer_transports"),
                      .error_transport = config.text("error_service_name"),
                      .default_filter_nexthop = config.text("default_filter_nexthop"),
                      .allow_min_user = config.boolean("allow_min_user")};
  settings.queue_run_delay = std::max(std::chrono::seconds(1), config.seconds("queue_run_delay"));
  settings.daemon_timeout = config.seconds("daemon_timeout");
  settings.delay_decimals = static_cast<int>(config.integer("delay_logging_resolution_limit"));
  settings.external_addresses = config.text("info_log_address_format") != "internal";
  settings.hashing = {.names = config.list("hash_queue_names"),
                      .depth = static_cast<unsigned>(count_of(config.integer("hash_queue_depth")))};
  settings.queue_journal = config.boolean("queue_journal");
  settings.config = std::move(snapshot);
  settings.services = std::move(services);
  return settings;
}

TransportRules Settings::transport(std::string_view name) const {
  TransportRules rules;
  rules.concurrency = {.initial = count_of(config->integer(name, "_initial_destination_concurrency")),
                       .limit = count_of(config->integer(name, "_destination_concurrency_limit")),
                       .positive = feedback(*config, name, "_destination_concurrency_positive_feedback"),
                       .negative = feedback(*config, name, "_destination_concurrency_negative_feedback"),
                       .failed_cohort_limit =
                           static_cast<double>(config->integer(name, "_destination_concurrency_failed_cohort_limit"))};
  rules.destination_rate_delay = config->seconds(name, "_destination_rate_delay");
  rules.transport_rate_delay = config->seconds(name, "_transport_rate_delay");
  rules.slot_cost = count_of(config->integer(name, "_delivery_slot_cost"));
  rules.slot_loan = count_of(config->integer(name, "_delivery_slot_loan"));
  rules.slot_discount_percent = count_of(config->integer(name, "_delivery_slot_discount"));
  rules.minimum_slots = count_of(config->integer(name, "_minimum_delivery_slots"));
  const auto service = services.find(name);
  // A transport that is not in master.cf is tried all the same: connecting to it says what is wrong.
  const std::size_t limit = service == services.end() ? 1 : service->second;
  rules.deliveries = limit == 0 ? kUnlimitedDeliveries : limit;
  return rules;
}

std::size_t Settings::recipient_limit(std::string_view transport_name) const {
  return count_of(config->integer(transport_name, "_destination_recipient_limit"));
}

}  // namespace stagepost::qmgr
