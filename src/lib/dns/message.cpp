#include "dns/message.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/text.hpp"

namespace stagepost::dns {
namespace {

constexpr std::size_t kHeaderBytes = 12;
constexpr std::size_t kNameOctets = 255;
constexpr std::uint16_t kClassIn = 1;
constexpr std::uint16_t kTypeOpt = 41;
constexpr std::uint32_t kTtlMaximum = 0x7fffffff;

void put16(std::string& out, unsigned value) {
  out += static_cast<char>((value >> 8) & 0xff);
  out += static_cast<char>(value & 0xff);
}

/// Bounds-checked reader. After a failed read `ok` stays false and every value is zero.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] std::size_t position() const { return position_; }
  void fail() { ok_ = false; }

  std::string_view take(std::size_t count) {
    if (!ok_ || bytes_.size() - position_ < count) {
      ok_ = false;
      return {};
    }
    const auto piece = bytes_.substr(position_, count);
    position_ += count;
    return piece;
  }
  std::uint8_t u8() {
    const auto b = take(1);
    return ok_ ? static_cast<std::uint8_t>(b[0]) : std::uint8_t{0};
  }
  std::uint16_t u16() {
    const unsigned high = u8();
    return static_cast<std::uint16_t>((high << 8) | u8());
  }
  std::uint32_t u32() {
    const std::uint32_t high = u16();
    return (high << 16) | u16();
  }

  /// A possibly compressed name (RFC 1035 §4.1.4). Pointers may only go backwards, so the walk ends.
  std::string name() {
    std::string out;
    std::size_t at = position_;
    std::size_t lowest = position_;
    std::size_t octets = 0;
    bool jumped = false;
    for (;;) {
      if (!ok_ || at >= bytes_.size()) { return failed(); }
      const auto length = static_cast<unsigned char>(bytes_[at]);
      if (length >= 0xc0) {
        if (at + 1 >= bytes_.size()) { return failed(); }
        const std::size_t target =
            (static_cast<std::size_t>(length & 0x3f) << 8) | static_cast<unsigned char>(bytes_[at + 1]);
        if (!jumped) { position_ = at + 2; }
        jumped = true;
        if (target >= lowest) { return failed(); }
        lowest = target;
        at = target;
        continue;
      }
      if (length >= 0x40) { return failed(); }
      octets += length + 1U;
      if (octets > kNameOctets || at + 1 + length > bytes_.size()) { return failed(); }
      if (length == 0) {
        if (!jumped) { position_ = at + 1; }
        return out;
      }
      if (!out.empty()) { out += '.'; }
      append_label(out, bytes_.substr(at + 1, length));
      at += 1U + length;
    }
  }

 private:
  std::string failed() {
    ok_ = false;
    return {};
  }
  static void append_label(std::string& out, std::string_view label) {
    for (const char c : label) {
      if (c == '.' || c == '\\' || c <= ' ' || c >= 0x7f) {
        out += fmt::format("\\{:03}", static_cast<unsigned>(static_cast<unsigned char>(c)));
      } else {
        out += c;
      }
    }
  }

  std::string_view bytes_;
  std::size_t position_ = 0;
  bool ok_ = true;
};

bool parse_data(Reader& reader, Record& record, std::size_t length) {
  const std::size_t end = reader.position() + length;
  switch (record.type) {
    case Type::a:
    case Type::aaaa: {
      const bool v4 = record.type == Type::a;
      const auto bytes = reader.take(v4 ? 4 : 16);
      if (!reader.ok()) { return false; }
      record.address = net::IpAddress::from_bytes(v4 ? net::Family::ipv4 : net::Family::ipv6,
                                                  reinterpret_cast<const unsigned char*>(bytes.data()));
      break;
    }
    case Type::ns:
    case Type::cname:
    case Type::ptr:
      record.value = reader.name();
      break;
    case Type::mx:
      record.preference = reader.u16();
      record.value = reader.name();
      break;
    case Type::srv:
      record.preference = reader.u16();
      record.weight = reader.u16();
      record.port = reader.u16();
      record.value = reader.name();
      break;
    case Type::txt:
      while (reader.ok() && reader.position() < end) {
        const std::size_t size = reader.u8();
        if (reader.position() + size > end) { return false; }
        record.value += reader.take(size);
      }
      break;
    case Type::tlsa:
      // RFC 6698 §2.1: three octets and the association data; data of length zero matches nothing.
      if (length < 4) { return false; }
      record.tlsa.usage = reader.u8();
      record.tlsa.selector = reader.u8();
      record.tlsa.matching_type = reader.u8();
      record.tlsa.data = std::string(reader.take(length - 3));
      break;
    case Type::soa:
      return false;
  }
  return reader.ok() && reader.position() == end;
}

bool is_known(std::uint16_t type) {
  static constexpr std::array kKnown = {Type::a,   Type::ns,   Type::cname, Type::ptr, Type::mx,
                                        Type::txt, Type::aaaa, Type::srv,   Type::tlsa};
  return std::ranges::any_of(kKnown, [&](Type t) { return static_cast<std::uint16_t>(t) == type; });
}

struct Fixed {
  std::string owner;
  std::uint16_t type = 0;
  std::uint16_t record_class = 0;
  std::uint32_t ttl = 0;
  std::size_t length = 0;
};

Fixed read_fixed(Reader& reader) {
  Fixed fixed;
  fixed.owner = reader.name();
  fixed.type = reader.u16();
  fixed.record_class = reader.u16();
  // RFC 2181 §8: a TTL with the top bit set counts as zero.
  const std::uint32_t ttl = reader.u32();
  fixed.ttl = ttl > kTtlMaximum ? 0 : ttl;
  fixed.length = reader.u16();
  return fixed;
}

}  // namespace

std::string type_name(Type type) {
  switch (type) {
    case Type::a:
      return "A";
    case Type::ns:
      return "NS";
    case Type::cname:
      return "CNAME";
    case Type::soa:
      return "SOA";
    case Type::ptr:
      return "PTR";
    case Type::mx:
      return "MX";
    case Type::txt:
      return "TXT";
    case Type::aaaa:
      return "AAAA";
    case Type::srv:
      return "SRV";
    case Type::tlsa:
      return "TLSA";
  }
  return fmt::format("TYPE{}", static_cast<unsigned>(type));
}

Result<std::string> encode_query(const Query& query) {
  std::string out;
  put16(out, query.id);
  out += '\x01';  // RD
  out += '\x20';  // AD: RFC 6840 §5.7, tell us in the reply
  put16(out, 1);
  put16(out, 0);
  put16(out, 0);
  put16(out, 1);

  std::string_view name = query.name;
  if (name.ends_with('.')) { name.remove_suffix(1); }
  if (!name.empty()) {
    for (const auto label : text::split_exact(name, '.')) {
      if (label.empty() || label.size() > 63) { return failure("malformed DNS name"); }
      if (!std::ranges::all_of(label, [](char c) { return c > ' ' && c < 0x7f; })) {
        return failure("malformed DNS name");
      }
      out += static_cast<char>(label.size());
      out += label;
    }
  }
  out += '\0';
  if (out.size() - kHeaderBytes > kNameOctets) { return failure("DNS name too long"); }
  put16(out, static_cast<std::uint16_t>(query.type));
  put16(out, kClassIn);

  out += '\0';  // OPT, RFC 6891 §6.1.2
  put16(out, kTypeOpt);
  put16(out, query.udp_size_bytes);
  put16(out, 0);
  put16(out, query.dnssec ? 0x8000 : 0);
  put16(out, 0);
  return out;
}

Result<Message> parse_message(std::string_view bytes, const Limits& limits) {
  if (bytes.size() > limits.message_bytes) { return failure("DNS message too long", std::errc::message_size); }
  Reader reader(bytes);
  Message message;
  message.id = reader.u16();
  const unsigned flags = reader.u16();
  const unsigned questions = reader.u16();
  const unsigned answers = reader.u16();
  const unsigned authorities = reader.u16();
  reader.u16();
  if (!reader.ok()) { return failure("short DNS message", std::errc::bad_message); }
  message.is_reply = (flags & 0x8000U) != 0;
  message.truncated = (flags & 0x0200U) != 0;
  message.authentic = (flags & 0x0020U) != 0;
  message.rcode = static_cast<Rcode>(flags & 0x0fU);

  for (unsigned i = 0; i < questions; ++i) {
    std::string name = reader.name();
    const std::uint16_t type = reader.u16();
    reader.u16();
    if (!reader.ok()) { return failure("malformed DNS question", std::errc::bad_message); }
    if (i == 0) {
      message.question_name = std::move(name);
      message.question_type = type;
    }
  }
  // Each record takes at least 11 bytes, so the loops end with the message whatever the counts say.
  for (unsigned i = 0; i < answers; ++i) {
    Fixed fixed = read_fixed(reader);
    if (!reader.ok()) { return failure("malformed DNS record", std::errc::bad_message); }
    if (fixed.record_class != kClassIn || !is_known(fixed.type) || message.answers.size() >= limits.records) {
      message.dropped += is_known(fixed.type) ? 1 : 0;
      reader.take(fixed.length);
      if (!reader.ok()) { return failure("malformed DNS record", std::errc::bad_message); }
      continue;
    }
    Record record;
    record.owner = std::move(fixed.owner);
    record.type = static_cast<Type>(fixed.type);
    record.ttl = fixed.ttl;
    if (!parse_data(reader, record, fixed.length)) {
      return failure("malformed DNS " + type_name(record.type) + " record", std::errc::bad_message);
    }
    message.answers.push_back(std::move(record));
  }
  for (unsigned i = 0; i < authorities && !message.negative_ttl; ++i) {
    const Fixed fixed = read_fixed(reader);
    if (fixed.type == static_cast<std::uint16_t>(Type::soa) && fixed.record_class == kClassIn) {
      const std::size_t end = reader.position() + fixed.length;
      (void)reader.name();
      (void)reader.name();
      reader.take(16);
      const std::uint32_t minimum = reader.u32();
      if (!reader.ok() || reader.position() != end) {
        return failure("malformed DNS SOA record", std::errc::bad_message);
      }
      message.negative_ttl = std::min({fixed.ttl, minimum, kTtlMaximum});
    } else {
      reader.take(fixed.length);
    }
    if (!reader.ok()) { return failure("malformed DNS record", std::errc::bad_message); }
  }
  return message;
}

std::string canonical_name(const Message& message, std::string_view name) {
  std::string current(name);
  if (current.ends_with('.')) { current.pop_back(); }
  for (int hops = 0; hops < 16; ++hops) {
    const auto alias = std::ranges::find_if(message.answers, [&](const Record& record) {
      return record.type == Type::cname && text::iequals(record.owner, current);
    });
    if (alias == message.answers.end()) { break; }
    current = alias->value;
  }
  return current;
}

std::string reverse_labels(const net::IpAddress& address) {
  const auto& bytes = address.bytes();
  if (address.family() == net::Family::ipv4) {
    return fmt::format("{}.{}.{}.{}", bytes[3], bytes[2], bytes[1], bytes[0]);
  }
  std::string out;
  for (std::size_t i = bytes.size(); i-- > 0;) {
    out += fmt::format("{}{:x}.{:x}", out.empty() ? "" : ".", bytes.at(i) & 0xfU, bytes.at(i) >> 4U);
  }
  return out;
}

std::string reverse_name(const net::IpAddress& address) {
  return reverse_labels(address) + (address.family() == net::Family::ipv4 ? ".in-addr.arpa" : ".ip6.arpa");
}

}  // namespace stagepost::dns
