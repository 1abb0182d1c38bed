// The record format of queue files (docs/queue-format.md): a type byte, a length in groups of seven bits (least
// significant first, high bit = more follow) and that many bytes. Pure: bytes in memory only; record_file.hpp reads
// files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

namespace stagepost::queue {

enum class RecordType : unsigned char {
  // Envelope and extracted segment.
  size = 'C',                    ///< Sizes, see SizeRecord. First record of every file that cleanup wrote.
  time = 'T',                    ///< Arrival time: "seconds microseconds".
  create_time = 'c',             ///< Creation time as a record of its own (files of old versions).
  attribute = 'A',               ///< name=value
  full_name = 'F',               ///< Sender's full name, from sendmail -F.
  inspector = 'I',               ///< Content inspector.
  filter = 'L',                  ///< Content filter; in the content section the same letter is a partial line.
  sender = 'S',                  ///< Envelope sender.
  dsn_ret = '<',                 ///< RET of old versions (now an attribute).
  dsn_envid = 'i',               ///< ENVID of old versions.
  dsn_notify = 'n',              ///< NOTIFY of old versions.
  dsn_original_recipient = 'o',  ///< ORCPT of old versions.
  original_recipient = 'O',
  recipient = 'R',
  done_recipient = 'D',       ///< A recipient that needs no further delivery: its type byte is changed in place.
  cancelled_recipient = '/',  ///< A recipient that a milter or quarantine removed.
  redirect = '>',             ///< Send everything to this address instead.
  warn_time = 'W',            ///< When to send a delay warning.
  verp = 'V',                 ///< VERP delimiters.
  errors_to = 'e',
  return_receipt = 'r',
  priority = 'P',
  flags = 'f',
  killed = 'K',   ///< A record that was deleted in place.
  padding = 'w',  ///< Filler; skipped.
  pointer = 'p',  ///< "offset": reading goes on there; zero: no jump.
  // Content.
  content_start = 'M',
  line = 'N',          ///< A line, or the last part of one; the line end is not stored.
  partial_line = 'L',  ///< A part of a line that goes on in the next record.
  // Structure.
  extracted_start = 'X',  ///< End of the content; records taken from the header or added later follow.
  end = 'E',
};

/// A record as it stands in a buffer; `data` points into that buffer.
struct RecordView {
  RecordType type{};
  std::string_view data;
};

enum class RecordError {
  incomplete,  ///< More bytes are needed.
  bad_length,  ///< More than five length bytes, or a length beyond `limit`.
};

/// The largest record a reader accepts unless told otherwise: far above line_length_limit and address limits.
inline constexpr std::size_t kRecordLimitBytes = 1U << 20U;
/// Bytes in front of a record's data: at least 2, at most 6.
inline constexpr std::size_t kRecordHeaderMaxBytes = 6;

/// Type and lengths at the start of a record; the data need not be in the buffer.
struct RecordHeader {
  RecordType type{};
  std::size_t header_octets = 0;
  std::size_t data_octets = 0;
};
[[nodiscard]] std::expected<RecordHeader, RecordError> parse_record_header(std::string_view bytes,
                                                                           std::size_t limit = kRecordLimitBytes);

struct ParsedRecord {
  RecordView record;
  std::size_t octets = 0;  ///< What the record takes in the buffer, header included.
};

/// The record at the start of `bytes`. `incomplete` when `bytes` ends within it, at any place (also when empty).
[[nodiscard]] std::expected<ParsedRecord, RecordError> parse_record(std::string_view bytes,
                                                                    std::size_t limit = kRecordLimitBytes);

/// Appends one record to `out`. `data` may hold any bytes, at most INT_MAX of them (asserted).
void append_record(std::string& out, RecordType type, std::string_view data);
/// Appends an attribute record `name=value`.
void append_attribute(std::string& out, std::string_view name, std::string_view value);
/// Appends a padding record that is `octets` long in all, at least 2 (asserted). For the content only: Postfix's qmgr
/// takes a padding record in the envelope as damage, see append_null_pointer.
void append_padding(std::string& out, std::size_t octets);
/// Appends a pointer to nowhere that is `octets` long in all, 3 to 100 (asserted): padding for the envelope.
void append_null_pointer(std::string& out, std::size_t octets);
/// Size of a record in a file.
[[nodiscard]] std::size_t record_octets(std::size_t data_octets) noexcept;

/// Data of the size record: six numbers, each right-aligned in 15 columns with a space between (95 bytes). Files of old
/// versions have fewer numbers; what is missing is zero.
struct SizeRecord {
  /// Octets from content_offset to the extracted_start record, as first written: what SIZE limits and mailq show.
  std::int64_t message_size = 0;
  std::int64_t content_offset = 0;   ///< Of the record after content_start.
  std::int64_t recipient_count = 0;  ///< Done and cancelled ones included; Postfix takes a wrong count as damage.
  std::int64_t flags = 0;            ///< kFlag...: what qmgr needs to know before it reads recipients.
  std::int64_t content_length = 0;  ///< Octets of the content records in use: differs after a milter replaced the body.
  std::int64_t smtputf8_flags = 0;  ///< SmtpUtf8Flags
  bool operator==(const SizeRecord&) const = default;
};
/// SizeRecord::smtputf8_flags (RFC 6531). Without the first, the others are only what was seen.
enum SmtpUtf8Flags : std::int64_t {
  kSmtpUtf8Requested = 1,  ///< by the client, or found necessary (smtputf8_autodetect_classes)
  kSmtpUtf8Header = 2,     ///< a header field is not ASCII
  kSmtpUtf8Sender = 4,     ///< the sender is not ASCII
};
/// SizeRecord::flags holds the notify_flags of all recipients together, shifted by this.
inline constexpr unsigned kFlagNotifyShift = 1;
inline constexpr std::size_t kSizeRecordDataOctets = 95;
[[nodiscard]] std::string format_size(const SizeRecord& size);
[[nodiscard]] std::optional<SizeRecord> parse_size(std::string_view data);

/// Data of a pointer record: the offset right-aligned in 15 columns. A record that a pointer may replace later takes at
/// least kPointerRecordOctets in the file; padding in front of or behind it makes up for what is missing.
inline constexpr std::size_t kPointerDataOctets = 15;
inline constexpr std::size_t kPointerRecordOctets = kPointerDataOctets + 2;
[[nodiscard]] std::string format_pointer(std::int64_t offset);
[[nodiscard]] std::optional<std::int64_t> parse_pointer(std::string_view data);

/// Data of a time record. The microseconds are optional when parsed.
struct ArrivalTime {
  std::int64_t seconds = 0;
  std::int32_t microseconds = 0;
  bool operator==(const ArrivalTime&) const = default;
};
[[nodiscard]] std::string format_time(ArrivalTime time);
[[nodiscard]] std::optional<ArrivalTime> parse_time(std::string_view data);

/// Data of a warn_time record: seconds right-aligned in 15 columns; kWarningSent once the warning was sent.
inline constexpr std::int64_t kWarningSent = -1;
[[nodiscard]] std::string format_warn_time(std::int64_t seconds);
[[nodiscard]] std::optional<std::int64_t> parse_warn_time(std::string_view data);

/// Splits `name=value` at the first '='; nullopt without '=' or with an empty name. Blanks around both are dropped.
struct AttributeView {
  std::string_view name;
  std::string_view value;
};
[[nodiscard]] std::optional<AttributeView> parse_attribute(std::string_view data);

/// The name postcat prints for a type in the envelope or extracted segment; "unknown_record_type" for others.
[[nodiscard]] std::string_view record_name(RecordType type);

}  // namespace stagepost::queue
