#include "dns/answer.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.hpp"

namespace stagepost::dns {
namespace {

std::string_view reason_text(Status status) {
  switch (status) {
    case Status::found:
      return "";
    case Status::not_found:
      return "Host not found";
    case Status::no_data:
      return "Host found but no data record of requested type";
    case Status::temporary:
      return "Host not found, try again";
    case Status::invalid:
      return "Malformed or unexpected name server reply";
  }
  return "";
}

bool has_acceptable_name(const Record& record) {
  switch (record.type) {
    case Type::mx:
    case Type::srv:
      return record.value.empty() || is_host_name(record.value) || net::IpAddress::parse(record.value).has_value();
    case Type::ptr:
    case Type::cname:
    case Type::ns:
      return is_host_name(record.value);
    default:
      return true;
  }
}

}  // namespace

bool is_host_name(std::string_view name) {
  if (name.empty() || name.size() > 255) { return false; }
  bool only_digits = true;
  for (const auto label : text::split_exact(name, '.')) {
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-') { return false; }
    for (const char c : label) {
      if (!text::is_alnum(c) && c != '-' && c != '_') { return false; }
      only_digits = only_digits && text::is_digit(c);
    }
  }
  return !only_digits;
}

Answer make_failure(Status status, std::string_view name) {
  Answer answer;
  answer.status = status;
  answer.canonical_name = name;
  answer.reason = reason_text(status);
  return answer;
}

Answer interpret(const Message& message, std::string_view name, Type type) {
  if (message.rcode == Rcode::nx_domain) {
    Answer answer = make_failure(Status::not_found, name);
    answer.authentic = message.authentic;
    answer.ttl = message.negative_ttl.value_or(0);
    return answer;
  }
  if (message.rcode != Rcode::no_error) { return make_failure(Status::temporary, name); }

  const std::string owner = type == Type::cname ? std::string(name) : canonical_name(message, name);
  Answer answer;
  answer.canonical_name = owner;
  answer.authentic = message.authentic;
  std::uint32_t ttl = UINT32_MAX;
  std::size_t refused = 0;
  for (const Record& record : message.answers) {
    if (record.type == Type::cname && type != Type::cname) { ttl = std::min(ttl, record.ttl); }
    if (record.type != type || !text::iequals(record.owner, owner)) { continue; }
    if (!has_acceptable_name(record)) {
      ++refused;
      continue;
    }
    ttl = std::min(ttl, record.ttl);
    answer.records.push_back(record);
  }
  if (!answer.records.empty()) {
    answer.status = Status::found;
    answer.ttl = ttl;
    return answer;
  }
  answer.status = refused > 0 ? Status::invalid : Status::no_data;
  answer.reason = reason_text(answer.status);
  answer.ttl = message.negative_ttl.value_or(0);
  answer.dangling_alias = refused == 0 && !text::iequals(owner, name) && !message.negative_ttl;
  return answer;
}

std::string describe_failure(std::string_view name, std::string_view type, std::string_view reason) {
  return fmt::format("Host or domain name not found. Name service error for name={} type={}: {}", name, type, reason);
}

}  // namespace stagepost::dns
