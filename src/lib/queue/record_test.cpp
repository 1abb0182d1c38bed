#include "queue/record.hpp"

#include <gtest/gtest.h>

namespace stagepost::queue {
namespace {

TEST(Record, LengthIsInGroupsOfSevenBitsLeastSignificantFirst) {
  struct Case {
    std::size_t length;
    std::string header;
  };
  for (const auto& [length, header] :
       {Case{0, std::string("N\x00", 2)}, Case{127, "N\x7f"}, Case{128, "N\x80\x01"}, Case{2048, "N\x80\x10"},
        Case{16383, "N\xff\x7f"}, Case{16384, "N\x80\x80\x01"}}) {
    std::string out;
    append_record(out, RecordType::line, std::string(length, 'x'));
    EXPECT_EQ(out.substr(0, header.size()), header);
    EXPECT_EQ(out.size(), header.size() + length);
    EXPECT_EQ(record_octets(length), out.size());
    const auto parsed = parse_record(out);
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->record.type, RecordType::line);
    EXPECT_EQ(parsed->record.data.size(), length);
    EXPECT_EQ(parsed->octets, out.size());
  }
}

TEST(Record, EveryPrefixIsIncomplete) {
  std::string out;
  append_record(out, RecordType::recipient, std::string(200, 'r'));
  for (std::size_t length = 0; length < out.size(); ++length) {
    const auto parsed = parse_record(std::string_view(out).substr(0, length));
    ASSERT_FALSE(parsed);
    EXPECT_EQ(parsed.error(), RecordError::incomplete);
  }
}

TEST(Record, LengthLimitsHoldOnBothSides) {
  std::string out;
  append_record(out, RecordType::line, "abcd");
  EXPECT_TRUE(parse_record(out, 4));
  EXPECT_EQ(parse_record(out, 3).error(), RecordError::bad_length);
  EXPECT_EQ(parse_record(std::string_view("N\x80\x80\x80\x80\x80\x00", 7)).error(), RecordError::bad_length);
  EXPECT_TRUE(parse_record(std::string_view("N\x80\x80\x80\x80\x00", 6)));  // Padded, but five bytes: Postfix reads it.
  EXPECT_EQ(parse_record(std::string_view("N\xff\xff\xff\xff\x7f", 6)).error(), RecordError::bad_length);
}

TEST(Record, PaddingHasExactlyTheSizeAskedFor) {
  for (std::size_t octets = 2; octets < 20000; octets += octets < 300 ? 1 : 97) {
    std::string out;
    append_padding(out, octets);
    ASSERT_EQ(out.size(), octets);
    std::string_view rest = out;
    while (!rest.empty()) {
      const auto parsed = parse_record(rest);
      ASSERT_TRUE(parsed);
      EXPECT_EQ(parsed->record.type, RecordType::padding);
      rest.remove_prefix(parsed->octets);
    }
  }
  for (const std::size_t octets : {129U, 130U, 131U, 132U, 16385U, 16386U, 16387U, 16388U}) {
    std::string out;
    append_padding(out, octets);
    EXPECT_EQ(out.size(), octets);
  }
}

TEST(Record, EnvelopePaddingIsAPointerToNowhere) {
  // Postfix writes this behind the 13 octets of "s@a.example".
  std::string out;
  append_null_pointer(out, 4);
  EXPECT_EQ(out, std::string("p\x02 0", 4));
  for (std::size_t octets = 3; octets <= 100; ++octets) {
    out.clear();
    append_null_pointer(out, octets);
    const auto parsed = parse_record(out);
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->octets, octets);
    EXPECT_EQ(parse_pointer(parsed->record.data), 0);
  }
}

TEST(SizeRecord, HasTheColumnsOfPostfix) {
  const SizeRecord size{298, 789, 4, 20, 298, 7};
  const std::string data = format_size(size);
  EXPECT_EQ(data, "            298             789               4              20             298               7");
  EXPECT_EQ(data.size(), kSizeRecordDataOctets);
  EXPECT_EQ(parse_size(data), size);
  EXPECT_EQ(parse_size("12 34"), (SizeRecord{12, 34, 0, 0, 0, 0}));
  EXPECT_EQ(parse_size(""), std::nullopt);
  EXPECT_EQ(parse_size("12 x"), std::nullopt);
  EXPECT_EQ(parse_size("-1 2"), std::nullopt);
  EXPECT_EQ(parse_size("99999999999999999999"), std::nullopt);
}

TEST(Pointer, IsRightAlignedAndStrict) {
  EXPECT_EQ(format_pointer(1224), "           1224");
  EXPECT_EQ(parse_pointer("           1224"), 1224);
  EXPECT_EQ(parse_pointer(" 0"), 0);
  EXPECT_EQ(parse_pointer("zz"), std::nullopt);
  EXPECT_EQ(parse_pointer(""), std::nullopt);
  EXPECT_EQ(parse_pointer("-5"), std::nullopt);
  EXPECT_EQ(parse_pointer("5 6"), std::nullopt);
}

TEST(Times, AreReadAndWritten) {
  EXPECT_EQ(format_time({1795350347, 941411}), "1795350347 941411");
  EXPECT_EQ(format_time({1795350347, 4141}), "1795350347 4141");  // Not a decimal fraction: no leading zeroes.
  EXPECT_EQ(parse_time("1795350347 4141"), (ArrivalTime{1795350347, 4141}));
  EXPECT_EQ(parse_time("1795350347"), (ArrivalTime{1795350347, 0}));
  EXPECT_EQ(parse_time("abc"), std::nullopt);
  EXPECT_EQ(parse_time("1 1000000"), std::nullopt);
  EXPECT_EQ(format_warn_time(1795354525), "     1795354525");
  EXPECT_EQ(format_warn_time(kWarningSent), "             -1");
  EXPECT_EQ(parse_warn_time("             -1"), -1);
}

TEST(Attribute, IsSplitAtTheFirstEqualsSign) {
  const auto attribute = parse_attribute("envelope_id=a=b");
  ASSERT_TRUE(attribute);
  EXPECT_EQ(attribute->name, "envelope_id");
  EXPECT_EQ(attribute->value, "a=b");
  EXPECT_FALSE(parse_attribute("abc"));
  EXPECT_FALSE(parse_attribute("=abc"));
  EXPECT_TRUE(parse_attribute("abc="));
}

}  // namespace
}  // namespace stagepost::queue
