#include "mail/verp.hpp"

#include <gtest/gtest.h>

namespace stagepost::mail {
namespace {

TEST(Verp, PutsTheRecipientIntoTheSender) {
  struct Case {
    std::string_view sender, delimiters, recipient, expected;
  };
  for (const Case& c : {Case{"owner-list@origin", "+=", "user@domain", "owner-list+user=domain@origin"},
                        Case{"list@b", "-=", "u+x@d", "list-u+x=d@b"}, Case{"list@b", "+=", "a b@d", "list+a b=d@b"},
                        Case{"list@b", "+=", "nodomain", "list+nodomain@b"}, Case{"list", "+=", "u@d", "list+u=d"},
                        Case{"a@b@c", "+=", "x@y@z", "a@b+x@y=z@c"}, Case{"list@b", "+=", "", "list+@b"}}) {
    EXPECT_EQ(verp_sender(c.sender, c.delimiters, c.recipient), c.expected);
  }
}

TEST(Verp, DelimitersAreTwoCharactersOfTheFilter) {
  EXPECT_TRUE(is_verp_delimiters("+=", "-=+"));
  EXPECT_TRUE(is_verp_delimiters("--", "-=+"));
  for (const std::string_view bad : {"", "+", "+==", "ab", "+@", "+\n"}) {
    EXPECT_FALSE(is_verp_delimiters(bad, "-=+")) << bad;
  }
  EXPECT_FALSE(is_verp_delimiters("+=", ""));
}

}  // namespace
}  // namespace stagepost::mail
