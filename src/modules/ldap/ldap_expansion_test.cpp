// Quoting for LDAP, and results made from entries of a small directory. The answers are those of Postfix 3.7 with
// slapd.
#include "ldap_expansion.hpp"

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.hpp"
#include "ldap_quote.hpp"

namespace stagepost::maps {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Kind = LdapAttributes::Kind;

TEST(LdapQuote, LeavesNoMetacharacter) {
  EXPECT_EQ(quote_for_filter("a*b(c)\\d"), "a\\2ab\\28c\\29\\5cd");
  EXPECT_EQ(quote_for_filter(std::string_view("a\0b", 3)), "a\\00b");
  EXPECT_EQ(quote_for_filter("u@ex.com|&!=~<>\xc3\xbc"), "u@ex.com|&!=~<>\xc3\xbc");
  EXPECT_EQ(quote_for_dn("a,b+c\"d\\e<f>g;h=i"), "a\\,b\\+c\\\"d\\\\e\\<f\\>g\\;h\\=i");
  EXPECT_EQ(quote_for_dn(" a b "), "\\ a b\\ ");
  EXPECT_EQ(quote_for_dn(" "), "\\ ");
  EXPECT_EQ(quote_for_dn("#a#"), "\\#a#");
  EXPECT_EQ(quote_for_dn(std::string_view("\0", 1)), "\\00");
  EXPECT_EQ(quote_for_dn(""), "");
}

/// Entries by DN. A "URL" is "url:DN?attribute,attribute".
class Directory final : public LdapDirectory {
 public:
  Result<std::optional<std::vector<LdapEntry>>> search(const LdapSearch& search) override {
    asked.push_back(search);
    if (search.base == "broken") { return failure("Invalid DN syntax"); }
    const auto found = entries.find(search.base);
    if (found == entries.end()) { return std::optional<std::vector<LdapEntry>>(); }
    LdapEntry entry;
    for (const auto& attribute : found->second.attributes) {
      for (const std::string& name : search.attributes) {
        if (text::iequals(name, attribute.first)) { entry.attributes.push_back(attribute); }
      }
    }
    return std::optional(std::vector{entry});
  }
  std::optional<LdapSearch> parse_url(const std::string& text) const override {
    if (!text.starts_with("url:")) { return std::nullopt; }
    const std::size_t mark = text.find('?');
    LdapSearch search{.base = text.substr(4, mark - 4)};
    for (const std::string_view name : text::split(std::string_view(text).substr(mark + 1), ",")) {
      search.attributes.emplace_back(name);
    }
    return search;
  }

  std::map<std::string, LdapEntry> entries{
      {"agroup", {{{"memberdn", {"auser", "buser"}}, {"memberaddr", {"a@org", "b@org"}}, {"mail", {"agroup@com"}}}}},
      {"bgroup", {{{"maildrop", {"bgroup@mlm"}}, {"memberdn", {"cuser"}}, {"mail", {"bgroup@com"}}}}},
      {"auser", {{{"mail", {"auser@com"}}, {"maildrop", {"auser@hub"}}}}},
      {"buser", {{{"mail", {"buser@com"}}}}},
      {"cuser", {{{"mail", {"cuser@com"}}}}},
      {"top", {{{"memberdn", {"agroup", "missing", "bgroup"}}}}},
      {"twice", {{{"memberdn", {"auser", "auser"}}}}},
      {"loop", {{{"memberdn", {"loop"}}}}},
      {"urls", {{{"memberdn", {"url:auser?mail", "url:buser?", "url:cuser?nothing"}}}}},
      {"bad", {{{"memberdn", {"broken"}}}}},
  };
  std::vector<LdapSearch> asked;
};

class LdapExpansionTest : public testing::Test {
 protected:
  std::string expand(const std::string& dn, const LdapAttributes& attributes, std::string_view rules = "") {
    const ResultRules how = ResultRules::read(ClientSource::parse(rules, "f", {}).value()).value();
    ResultList results(how, "key");
    LdapExpansion expansion(directory_, results, [this](std::string_view line) { warnings_.emplace_back(line); });
    const auto first = directory_.search({.base = dn, .attributes = attributes.names()}).value();
    auto added = expansion.add(*first, attributes);
    refused_ = expansion.refused();
    if (!added) { return "error: " + added.error().message(); }
    return results.take().value_or("-");
  }
  static LdapAttributes attributes(std::string_view result, std::string_view special, std::string_view leaf = "",
                                   std::string_view terminal = "") {
    LdapAttributes all;
    all.add(result, Kind::result);
    all.add(special, Kind::special);
    all.add(leaf, Kind::leaf);
    all.add(terminal, Kind::terminal);
    return all;
  }

  Directory directory_;
  std::vector<std::string> warnings_;
  bool refused_ = false;
};

TEST_F(LdapExpansionTest, TakesAttributesInTheEntrysOrder) {
  EXPECT_EQ(expand("auser", attributes("maildrop, MAIL", "")), "auser@com,auser@hub");
  EXPECT_EQ(expand("auser", attributes("none", "")), "-");
}

TEST_F(LdapExpansionTest, FollowsNames) {
  EXPECT_EQ(expand("agroup", attributes("maildrop memberaddr", "memberdn")), "auser@hub,a@org,b@org");
  EXPECT_EQ(expand("top", attributes("mail", "memberdn")), "auser@com,buser@com,agroup@com,cuser@com,bgroup@com");
  EXPECT_THAT(warnings_, ElementsAre("memberdn=missing not found, skipped"));
}

TEST_F(LdapExpansionTest, TerminalAttributesStandAlone) {
  EXPECT_EQ(expand("top", attributes("memberaddr", "memberdn", "mail", "maildrop")),
            "auser@hub,buser@com,a@org,b@org,bgroup@mlm");
}

TEST_F(LdapExpansionTest, LeafAttributesAreThoseOfEntriesWithoutSpecialOnes) {
  EXPECT_EQ(expand("agroup", attributes("", "memberdn", "mail")), "auser@com,buser@com");
  EXPECT_EQ(expand("auser", attributes("", "memberdn", "mail")), "auser@com");
}

TEST_F(LdapExpansionTest, UrlsSelectAmongTheTablesAttributes) {
  EXPECT_EQ(expand("urls", attributes("mail maildrop", "memberdn")), "auser@com,buser@com");
  EXPECT_EQ(directory_.asked.size(), 3U);
  LdapAttributes all = attributes("mail phone;work", "", "");
  const auto names = [&](const std::vector<std::string>& url) { return all.selected(url).names(); };
  EXPECT_THAT(names({"MAIL;lang-en", "phone"}), ElementsAre("MAIL;lang-en", "phone;work"));
  EXPECT_THAT(names({"phone;home"}), ElementsAre());
  EXPECT_THAT(names({"phone;WORK"}), ElementsAre("phone;work"));
  EXPECT_THAT(names({"*"}), ElementsAre("mail", "phone;work"));
}

TEST_F(LdapExpansionTest, DepthIsLimited) {
  LdapAttributes few = attributes("mail", "memberdn");
  few.recursion_limit = 2;
  EXPECT_EQ(expand("agroup", few), "auser@com,buser@com,agroup@com");
  EXPECT_THAT(expand("top", few), HasSubstr("error: recursion limit exceeded for special attribute memberdn=auser"));
  EXPECT_TRUE(refused_);
}

TEST_F(LdapExpansionTest, ACircleIsAnErrorAndTheSameEntryTwiceIsNot) {
  EXPECT_EQ(expand("loop", attributes("mail", "memberdn")),
            "error: special attribute memberdn=loop leads back to itself");
  EXPECT_TRUE(refused_);
  EXPECT_LE(directory_.asked.size(), 3U);
  EXPECT_EQ(expand("twice", attributes("mail", "memberdn")), "auser@com,auser@com");
}

TEST_F(LdapExpansionTest, FailuresAreErrorsAndSoAreTooManyValues) {
  EXPECT_EQ(expand("bad", attributes("mail", "memberdn")), "error: Invalid DN syntax");
  EXPECT_FALSE(refused_);
  EXPECT_THAT(expand("agroup", attributes("memberaddr", ""), "expansion_limit = 1"),
              HasSubstr("expansion limit exceeded"));
  EXPECT_TRUE(refused_);
}

}  // namespace
}  // namespace stagepost::maps
