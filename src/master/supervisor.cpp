// Services and sockets: start, reload, stop. The life of single children is in children.cpp.
#include "master/supervisor.hpp"

#include <algorithm>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <fmt/core.h>

#include "log/log.hpp"

namespace stagepost::master {

using config::ServiceType;
using ipc::Verb;

namespace {

bool is_postlog(const config::ServiceEntry& entry) {
  return entry.type == ServiceType::unix_dgram && entry.name == "postlog";
}

}  // namespace

Supervisor::Supervisor(Reactor& reactor, SupervisorOptions options) : reactor_(reactor), options_(std::move(options)) {}

Supervisor::~Supervisor() {
  for (const auto& service : services_) { listen(*service, false); }
}

Result<std::unique_ptr<Supervisor::Service>> Supervisor::make_service(const config::ServiceEntry& entry,
                                                                      const SystemConfig& config,
                                                                      const InetSettings& inet) {
  // The service's own -o may change its limits. If they are wrong, the program will say so when it starts.
  const auto overridden = config.main_cf->with(entry.overrides, false);
  const config::Snapshot& own = overridden ? **overridden : *config.main_cf;
  const PoolLimits limits{
      .maxproc = entry.maxproc.value_or(static_cast<std::uint32_t>(own.integer("default_process_limit"))),
      .process_session_limit = static_cast<std::uint32_t>(own.integer("process_session_limit")),
      .cores = options_.cores};
  auto service = std::make_unique<Service>(entry, limits, own.seconds("service_throttle_time"));
  service->program =
      entry.command.starts_with('/') ? entry.command : config.main_cf->text("daemon_directory") + "/" + entry.command;
  SP_TRY(service->specs, listen_specs(entry, inet, system_lookup()));
  service->listeners.resize(service->specs.size());
  return service;
}

Result<std::vector<std::unique_ptr<Supervisor::Service>>> Supervisor::plan(const SystemConfig& config) {
  InetSettings inet{.interfaces = config.main_cf->list("inet_interfaces"),
                    .known_tcp_ports = config.main_cf->text("known_tcp_ports")};
  SP_TRY(set_protocols(inet, config.main_cf->list("inet_protocols")));
  const auto disabled = config.main_cf->list("master_service_disable");
  std::vector<std::unique_ptr<Service>> planned;
  bool postlog = false;
  for (const config::ServiceEntry& entry : config.master_cf.services) {
    if (service_disabled(entry, disabled)) { continue; }
    auto service = make_service(entry, config, inet);
    if (!service) {
      return std::unexpected(
          std::move(service).error().within(fmt::format("{}, line {}", config.master_cf.file, entry.line)));
    }
    postlog = postlog || is_postlog(entry);
    planned.push_back(std::move(*service));
  }
  if (!postlog && !config.main_cf->text("maillog_file").empty()) {
    return failure("missing 'postlog' service in master.cf - run 'postfix upgrade-configuration'");
  }
  return planned;
}

Result<> Supervisor::open_listeners(Service& service) {
  for (std::size_t i = 0; i < service.specs.size();) {
    if (service.listeners[i]) {
      ++i;
      continue;
    }
    auto opened = open_listener(service.specs[i], options_.owner);
    if (!opened && opened.error().is(std::errc::address_family_not_supported) && service.specs.size() > 1) {
      // inet_protocols = all on a kernel without IPv6.
      log::warning("{}", opened.error().message());
      service.specs.erase(service.specs.begin() + static_cast<std::ptrdiff_t>(i));
      service.listeners.erase(service.listeners.begin() + static_cast<std::ptrdiff_t>(i));
      continue;
    }
    if (!opened) { return std::unexpected(std::move(opened).error()); }
    service.listeners[i++] = std::move(*opened);
  }
  return {};
}

Result<> Supervisor::start(SystemConfig config) {
  SP_TRY(auto planned, plan(config));
  for (const auto& service : planned) { SP_TRY(open_listeners(*service)); }
  main_cf_ = config.main_cf;
  services_ = std::move(planned);
  // The logger first: everyone else's first line goes there.
  for (const auto& service : services_) {
    if (is_postlog(service->entry) && !main_cf_->text("maillog_file").empty()) { start_child(*service); }
  }
  for (const auto& service : services_) { begin(*service); }
  return {};
}

void Supervisor::begin(Service& service) {
  update(service);
  if (service.stress && !service.stress_timer) { hold_stress(service); }
  if (service.entry.wakeup.count() == 0) { return; }
  if (service.entry.wakeup_only_if_used) {
    schedule_wakeup(service);
  } else {
    wakeup(service);
  }
}

void Supervisor::adopt(Service& old_service, Service& new_service) {
  for (std::size_t i = 0; i < new_service.specs.size(); ++i) {
    for (std::size_t j = 0; j < old_service.specs.size(); ++j) {
      if (old_service.listeners[j] && old_service.specs[j].key() == new_service.specs[i].key()) {
        new_service.listeners[i] = std::move(old_service.listeners[j]);
      }
    }
  }
  const PoolLimits limits = new_service.pool.limits();
  new_service.pool = std::move(old_service.pool);
  new_service.pool.set_limits(limits);
  if (old_service.entry.command != new_service.entry.command) { new_service.pool.forget_kind(); }
  new_service.used = old_service.used;
  new_service.stress = old_service.stress;
  for (auto& [pid, child] : children_) {
    if (child.service == &old_service) { child.service = &new_service; }
  }
}

void Supervisor::retire_service(Service& service) {
  listen(service, false);
  for (const auto& timer : {service.throttle_timer, service.wakeup_timer, service.stress_timer}) {
    if (timer) { reactor_.cancel(*timer); }
  }
  for (auto& [pid, child] : children_) {
    if (child.service == &service) {
      child.service = nullptr;
      shut_down(pid, child);
    }
  }
  for (std::size_t i = 0; i < service.specs.size(); ++i) {
    if (service.listeners[i] && !service.specs[i].path.empty()) { ::unlink(service.specs[i].path.c_str()); }
  }
}

void Supervisor::reload() {
  if (stopping_) { return; }
  auto loaded = options_.load();
  if (!loaded) {
    log::error("reload failed, the running configuration stays: {}", loaded.error().message());
    return;
  }
  auto planned = plan(*loaded);
  if (!planned) {
    log::error("reload failed, the running configuration stays: {}", planned.error().message());
    return;
  }
  main_cf_ = loaded->main_cf;
  options_.reopen_log();
  for (const std::string& note : loaded->notes) { log::info("{}", note); }
  log::info("reload -- version {}, configuration {}", main_cf_->text("mail_version"), main_cf_->config_directory());
  std::vector<std::unique_ptr<Service>> old_services = std::move(services_);
  services_ = std::move(*planned);
  for (const auto& service : services_) {
    const auto same = std::find_if(old_services.begin(), old_services.end(), [&](const auto& candidate) {
      return candidate->entry.key() == service->entry.key();
    });
    if (same != old_services.end()) {
      listen(**same, false);
      adopt(**same, *service);
    }
  }
  // Sockets nobody took over are closed before new ones are opened: a port may move from one service to another.
  for (const auto& service : old_services) { retire_service(*service); }
  old_services.clear();
  for (const auto& service : services_) {
    drain(*service);
    if (auto opened = open_listeners(*service); !opened) {
      log::error("service {}: {}", service->entry.key(), opened.error().message());
      std::erase_if(service->specs, [&](const ListenSpec& spec) {
        return !service->listeners[static_cast<std::size_t>(&spec - service->specs.data())];
      });
      std::erase_if(service->listeners, [](const unique_fd& fd) { return !fd; });
    }
    begin(*service);
  }
}

void Supervisor::drain(Service& service) {
  for (auto& [pid, child] : children_) {
    if (child.service == &service) {
      service.pool.child_dismissed(pid);
      tell(child, {.verb = Verb::drain});
    }
  }
}

void Supervisor::listen(Service& service, bool on) {
  if (service.listening == on) { return; }
  service.listening = on;
  for (const unique_fd& fd : service.listeners) {
    if (!fd) { continue; }
    if (!on) {
      reactor_.unwatch(fd.get());
      continue;
    }
    const auto watched = reactor_.watch(fd.get(), [this, &service] {
      service.used = true;
      start_child(service);
      update(service);
    });
    if (!watched) { log::error("service {}: {}", service.entry.key(), watched.error().message()); }
  }
}

void Supervisor::update(Service& service) {
  if (stopping_) {
    listen(service, false);
    return;
  }
  for (const auto& [pid, quota] : service.pool.take_raised_quotas()) {
    tell(children_.at(pid), {.verb = Verb::quota, .value = quota});
  }
  if (!service.throttle.active()) {
    if (service.pool.wants_another()) { start_child(service); }
    if (service.wakeup_pending && !service.throttle.active()) {
      service.wakeup_pending = false;
      wakeup(service);
    }
  }
  listen(service, !service.throttle.active() && service.pool.should_listen());
  update_contended(service);
  update_stress(service);
}

void Supervisor::update_contended(Service& service) {
  const bool contended = service.pool.at_limit();
  if (contended == service.contended) { return; }
  service.contended = contended;
  for (auto& [pid, child] : children_) {
    if (child.service == &service) { tell(child, {.verb = Verb::contended, .value = contended ? 1U : 0U}); }
  }
}

void Supervisor::arm_throttle(Service& service) {
  if (service.throttle_timer) { reactor_.cancel(*service.throttle_timer); }
  service.throttle_timer = reactor_.at(*service.throttle.until(), [this, &service] {
    service.throttle_timer.reset();
    lift_throttle(service);
  });
}

void Supervisor::lift_throttle(Service& service) {
  service.throttle.lift();
  update(service);
}

void Supervisor::update_stress(Service& service) {
  // Only services with outside clients: the others would only make each other nervous.
  if (service.entry.type != ServiceType::inet || loopback_only(service.specs)) { return; }
  if (!service.pool.at_limit()) { return; }
  hold_stress(service);
  if (!service.stress) {
    log::warning(
        "service \"{}\" ({}) has reached its process limit \"{}\": new clients may experience noticeable delays",
        service.entry.name, service.specs.front().endpoint.port, service.pool.limits().maxproc);
    log::warning(
        "to avoid this condition, increase the process count in master.cf or reduce the service time per client");
    log::warning(
        "see http://www.postfix.org/STRESS_README.html for examples of stress-adapting configuration settings");
    set_stress(service, true);
  }
}

void Supervisor::hold_stress(Service& service) {
  if (service.stress_timer) { reactor_.cancel(*service.stress_timer); }
  service.stress_timer = reactor_.after(kStressHold, [this, &service] {
    service.stress_timer.reset();
    if (service.pool.at_limit()) {
      hold_stress(service);
    } else {
      set_stress(service, false);
    }
  });
}

void Supervisor::set_stress(Service& service, bool on) {
  service.stress = on;
  for (auto& [pid, child] : children_) {
    if (child.service == &service) { tell(child, {.verb = Verb::stress, .value = on ? 1U : 0U}); }
  }
}

void Supervisor::schedule_wakeup(Service& service) {
  if (service.wakeup_timer) { reactor_.cancel(*service.wakeup_timer); }
  service.wakeup_timer = reactor_.after(service.entry.wakeup, [this, &service] {
    service.wakeup_timer.reset();
    if (service.entry.wakeup_only_if_used && !service.used) {
      schedule_wakeup(service);
    } else {
      wakeup(service);
    }
  });
}

void Supervisor::wakeup(Service& service) {
  schedule_wakeup(service);
  if (stopping_ || service.throttle.active()) { return; }
  if (!service.pool.someone_available() && service.pool.next_quota() > 0 && start_child(service)) { update(service); }
  for (auto& [pid, child] : children_) {
    if (child.service == &service && service.pool.accepts_work(pid)) {
      tell(child, {.verb = Verb::wakeup});
      return;
    }
  }
  // The predecessor is on its way out; its successor gets this one.
  service.wakeup_pending = service.pool.next_quota() == 0;
}

bool Supervisor::has_waiting_client(const Service& service) const {
  return std::any_of(service.listeners.begin(), service.listeners.end(), [](const unique_fd& fd) {
    pollfd poll{.fd = fd.get(), .events = POLLIN, .revents = 0};
    return ::poll(&poll, 1, 0) > 0;
  });
}

void Supervisor::stop() {
  if (stopping_) {
    abort();
    return;
  }
  stopping_ = true;
  for (const auto& service : services_) { listen(*service, false); }
  for (auto& [pid, child] : children_) {
    if (!child.keeps_log) { shut_down(pid, child); }
  }
  reactor_.after(kStopLimit, [this] { abort(); });
  continue_stop();
}

void Supervisor::continue_stop() {
  const bool only_logger =
      std::all_of(children_.begin(), children_.end(), [](const auto& entry) { return entry.second.keeps_log; });
  if (children_.empty()) {
    // The last words of everyone may still wait for a logger.
    for (const auto& service : services_) {
      if (is_postlog(service->entry) && !last_words_ && has_waiting_client(*service) && start_child(*service)) {
        last_words_ = true;
        shut_down(children_.begin()->first, children_.begin()->second);
        return;
      }
    }
    reactor_.stop();
  } else if (only_logger) {
    for (auto& [pid, child] : children_) { shut_down(pid, child); }
  }
}

void Supervisor::abort() {
  stopping_ = true;
  for (const auto& [pid, child] : children_) { ::kill(pid, child.keeps_log ? SIGTERM : SIGKILL); }
  // The logger writes down what it was sent before, such as the line that says why all this ends.
  const auto limit = SteadyClock::now() + kLoggerLimit;
  for (const auto& [pid, child] : children_) {
    if (!child.keeps_log) { continue; }
    bool runs = true;
    while (runs && SteadyClock::now() < limit) {
      runs = ::waitpid(pid, nullptr, WNOHANG) == 0;
      if (runs) { std::this_thread::sleep_for(std::chrono::milliseconds(5)); }
    }
    if (runs) { ::kill(pid, SIGKILL); }
  }
  reactor_.stop();
}

}  // namespace stagepost::master
