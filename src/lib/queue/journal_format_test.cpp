#include "queue/journal_format.hpp"

#include <gtest/gtest.h>

namespace stagepost::queue::journal {
namespace {

constexpr std::uint64_t kSalt = 0x1122334455667788;
const SegmentHeader kHeader{.salt = kSalt, .generation = 3, .segment_octets = 64 * 1024, .boot_id = {1, 2, 3}};

Instance instance(std::string_view id = "12345ABCDE", std::int64_t seconds = 1'700'000'000) {
  return {.id = *QueueId::parse(id), .arrival = {seconds, 123456}, .create_time = seconds};
}

/// A segment in memory, written as the journal writes it.
class Segment {
 public:
  explicit Segment(const SegmentHeader& header = kHeader) : bytes_(encode_header(header)) {
    salt_ = header.salt;
    bytes_.resize(header.segment_octets);
  }
  std::size_t add(const Instance& who, std::string_view content, Place place = Place::incoming) {
    const std::string head = encode_record_head(salt_, ++number_, who, place, content);
    const std::size_t at = offset_;
    bytes_.replace(at, head.size(), head);
    bytes_.replace(at + head.size(), content.size(), content);
    offset_ += record_octets(who.id.str().size(), content.size());
    return at;
  }
  void new_group() { offset_ = next_page(offset_); }
  std::string& bytes() { return bytes_; }

 private:
  std::string bytes_;
  std::uint64_t salt_ = 0;
  std::uint64_t number_ = 0;
  std::size_t offset_ = kPageOctets;
};

std::vector<std::string> contents(SegmentReader& reader) {
  std::vector<std::string> found;
  while (const auto record = reader.next()) { found.emplace_back(record->content); }
  return found;
}

using testing::ElementsAre;

TEST(JournalHeader, ReadsWhatItWrote) {
  const auto header = parse_header(encode_header(kHeader));
  ASSERT_TRUE(header);
  EXPECT_EQ(*header, kHeader);
}

TEST(JournalHeader, RefusesWhatIsNotWhole) {
  const std::string good = encode_header(kHeader);
  EXPECT_EQ(parse_header(good.substr(0, kPageOctets - 1)).error(), HeaderError::truncated);
  EXPECT_EQ(parse_header(std::string(kPageOctets, '\0')).error(), HeaderError::not_a_segment);
  std::string other = good;
  other[8] = 2;
  EXPECT_EQ(parse_header(other).error(), HeaderError::other_version);
  for (const std::size_t at : {std::size_t{16}, std::size_t{40}, kPageOctets - 1}) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    EXPECT_EQ(parse_header(bad).error(), HeaderError::bad_checksum) << at;
  }
  SegmentHeader tiny = kHeader;
  tiny.segment_octets = kPageOctets;
  EXPECT_EQ(parse_header(encode_header(tiny)).error(), HeaderError::bad_size);
  tiny.segment_octets = kSegmentOctetsLimit + 1;
  EXPECT_EQ(parse_header(encode_header(tiny)).error(), HeaderError::bad_size);
}

TEST(JournalSegment, RecordsOfSeveralGroupsComeBackInOrder) {
  Segment segment;
  segment.add(instance(), "one", Place::hold);
  segment.add(instance("23456BCDEF"), "");
  segment.new_group();
  segment.add(instance("z"), std::string(10'000, 'x'));
  SegmentReader reader(segment.bytes(), kHeader);
  const auto first = reader.next();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->instance, instance());
  EXPECT_EQ(first->place, Place::hold);
  EXPECT_EQ(first->number, 1U);
  EXPECT_EQ(first->content, "one");
  EXPECT_THAT(contents(reader), ElementsAre("", std::string(10'000, 'x')));
  EXPECT_EQ(reader.damaged(), 0U);
  EXPECT_FALSE(reader.torn_tail());
}

TEST(JournalSegment, ContentInTwoPartsHasTheChecksumOfTheWhole) {
  EXPECT_EQ(encode_record_head(1, 2, instance(), Place::incoming, "abc", "def"),
            encode_record_head(1, 2, instance(), Place::incoming, "abcdef"));
}

TEST(JournalSegment, ATornTailIsNotARecord) {
  for (const std::size_t lost : {std::size_t{1}, std::size_t{3}, std::size_t{60}}) {
    Segment segment;
    segment.add(instance(), "one");
    segment.new_group();
    const std::size_t at = segment.add(instance(), "torn in the middle of its content");
    const std::size_t end = at + kRecordHeaderOctets + 10 + 33;
    segment.bytes().replace(end - lost, lost, std::string(lost, '\0'));
    SegmentReader reader(segment.bytes(), kHeader);
    EXPECT_THAT(contents(reader), ElementsAre("one"));
    EXPECT_EQ(reader.damaged(), 0U);
    // Without magic and salt nothing says that a record began there.
    EXPECT_TRUE(reader.torn_tail());
  }
}

TEST(JournalSegment, ARecordThatRunsOverTheEndIsTorn) {
  Segment segment;
  segment.add(instance(), "one");
  segment.add(instance(), std::string(5000, 'y'));
  SegmentReader reader(std::string_view(segment.bytes()).substr(0, 8000), kHeader);
  EXPECT_THAT(contents(reader), ElementsAre("one"));
  EXPECT_TRUE(reader.torn_tail());
}

TEST(JournalSegment, DamageInTheMiddleLosesOnlyThatRecord) {
  Segment segment;
  segment.add(instance(), "one");
  const std::size_t at = segment.add(instance(), "two");
  segment.add(instance(), "three");
  segment.new_group();
  segment.add(instance(), "four");
  segment.bytes()[at + kRecordHeaderOctets + 11] ^= 1;
  SegmentReader reader(segment.bytes(), kHeader);
  EXPECT_THAT(contents(reader), ElementsAre("one", "three", "four"));
  EXPECT_EQ(reader.damaged(), 1U);
  EXPECT_FALSE(reader.torn_tail());
  // Not even its header is left.
  segment.bytes().replace(at, kRecordHeaderOctets, std::string(kRecordHeaderOctets, '\0'));
  SegmentReader again(segment.bytes(), kHeader);
  EXPECT_THAT(contents(again), ElementsAre("one", "three", "four"));
  EXPECT_EQ(again.damaged(), 1U);
}

TEST(JournalSegment, RecordsOfAnEarlierUseAreNotMistakenForNewOnes) {
  Segment segment;
  for (int i = 0; i < 20; ++i) { segment.add(instance(), "old"); }
  SegmentHeader next = kHeader;
  next.salt = kSalt + 1;
  ++next.generation;
  segment.bytes().replace(0, kPageOctets, encode_header(next));
  const std::string head = encode_record_head(next.salt, 1, instance(), Place::incoming, "new");
  segment.bytes().replace(kPageOctets, head.size(), head);
  segment.bytes().replace(kPageOctets + head.size(), 3, "new");
  SegmentReader reader(segment.bytes(), *parse_header(segment.bytes()));
  EXPECT_THAT(contents(reader), ElementsAre("new"));
  EXPECT_EQ(reader.damaged(), 0U);
  EXPECT_FALSE(reader.torn_tail());
}

TEST(JournalSegment, AMessageThatContainsARecordIsOneMessage) {
  // Its author does not know the salt.
  Segment forged(SegmentHeader{.salt = 7, .generation = 1, .segment_octets = 64 * 1024, .boot_id = {}});
  forged.add(instance("FFFFFF"), "forged");
  Segment segment;
  const std::size_t at = segment.add(instance(), forged.bytes().substr(0, 20'000));
  segment.bytes()[at] = 'x';
  SegmentReader reader(segment.bytes(), kHeader);
  EXPECT_THAT(contents(reader), ElementsAre());
}

TEST(JournalCompletion, ReadsWhatItWroteAndNothingElse) {
  std::string log;
  append_completion(log, {CompletionKind::removed, instance()});
  append_completion(log, {CompletionKind::settled, instance(std::string(kIdOctetsLimit, 'A'))});
  append_completion(log, {CompletionKind::settled, instance(std::string(kIdOctetsLimit + 1, 'A'))});
  ASSERT_EQ(log.size(), 2 * kCompletionOctets);
  const auto first = parse_completion(std::string_view(log).substr(0, kCompletionOctets));
  ASSERT_TRUE(first);
  EXPECT_EQ(first->kind, CompletionKind::removed);
  EXPECT_EQ(first->instance, instance());
  EXPECT_TRUE(parse_completion(std::string_view(log).substr(kCompletionOctets)));
  for (std::size_t i = 0; i < kCompletionOctets; ++i) {
    std::string bad = log.substr(0, kCompletionOctets);
    bad[i] = static_cast<char>(bad[i] ^ 4);
    EXPECT_FALSE(parse_completion(bad)) << i;
  }
  EXPECT_FALSE(parse_completion(std::string(kCompletionOctets, '\0')));
  EXPECT_FALSE(parse_completion("SPC1"));
}

TEST(Instance, IsReadFromTheBeginningOfAQueueFile) {
  std::string head;
  append_record(head, RecordType::size, format_size({}));
  append_record(head, RecordType::time, format_time({1'700'000'000, 42}));
  const auto id = *QueueId::parse("12345ABCDE");
  std::string ours = head;
  append_attribute(ours, "create_time", "1700000001");
  const auto read = parse_instance(ours, id);
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, (Instance{id, {1'700'000'000, 42}, 1'700'000'001}));
  // Of others: the third record may be any one, and longer than what was read.
  for (const std::size_t octets : {0U, 20U, 2000U}) {
    std::string other = head;
    append_record(other, RecordType::sender, std::string(octets, 'x'));
    const auto short_read = parse_instance(std::string_view(other).substr(0, kInstanceOctets), id);
    ASSERT_TRUE(short_read) << octets;
    EXPECT_EQ(short_read->create_time, 0);
  }
}

TEST(Instance, IsNotReadFromADamagedFile) {
  const auto id = *QueueId::parse("12345ABCDE");
  std::string file;
  append_record(file, RecordType::size, format_size({}));
  append_record(file, RecordType::time, format_time({1'700'000'000, 42}));
  append_attribute(file, "create_time", "1700000001");
  EXPECT_FALSE(parse_instance(std::string(600, '\0'), id));
  const std::size_t records = file.size();
  for (std::size_t octets = 0; octets < records; ++octets) {
    EXPECT_FALSE(parse_instance(file.substr(0, octets), id)) << octets;
    // What a power cut may leave of the rest: zeros, within the records and behind them.
    EXPECT_FALSE(parse_instance(file.substr(0, octets) + std::string(records - octets, '\0'), id)) << octets;
    EXPECT_FALSE(parse_instance(file.substr(0, octets) + std::string(600, '\0'), id)) << octets;
  }
}

}  // namespace
}  // namespace stagepost::queue::journal
