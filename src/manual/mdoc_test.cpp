// Manual pages read for --help and for the list of who reads a parameter.
#include "manual/mdoc.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stagepost::manual {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

constexpr std::string_view kPage = R"(.\" a comment
.Dd November 22, 2026
.Dt POSTX 1
.Os Stagepost
.Sh NAME
.Nm postx
.Nd change the colour
.Sh SYNOPSIS
.Nm
.Op Fl \&Dv
.Op Fl c Ar config_dir
.Ar name Ns Oo / Ns Ar item Oc ...
.Nm
.Fl M | F
.Op Fl o Ar name Ns = Ns Ar value
.Sh DESCRIPTION
.Nm
paints, see
.Xr main.cf 5 .
It reads
.Va relayhost
.Pq or Va mydestination , \&Va ;
and has no end
.Pp
Options:
.Bl -tag -width Ds
.It Fl c Ar config_dir
Configuration directory.
.It Fl q Ns Cm I Ns Ar queue_id , Fl r
One message
.Ql a b ,
with a text that is long enough to be continued on another line of this help, whatever it says.
.Bl -tag -compact -width Ds
.It Cm m
inner
.El
.El
.Sh PARAMETERS
.It Va smtp_timeout , "lmtp_timeout"
.Ss Parameters of all daemons
.It Va max_use
.Sh EXAMPLES
.Dl postx -c /etc 'a = b'
.Sh COMPATIBILITY
.Va mynetworks
is ignored.
.Sh SEE ALSO
.Va inet_interfaces
)";

TEST(Mdoc, HelpHasTheSectionsAUserNeeds) {
  const auto text = help_text(kPage);
  ASSERT_TRUE(text);
  EXPECT_EQ(*text, R"(postx - change the colour

usage:
  postx [-Dv] [-c config_dir] name[/item] ...
  postx -M | -F [-o name=value]

  postx paints, see main.cf(5). It reads relayhost (or mydestination, Va); and
  has no end

  Options:

  -c config_dir       Configuration directory.
  -qIqueue_id, -r     One message "a b", with a text that is long enough to be
                      continued on another line of this help, whatever it says.
                      m   inner

Examples:
      postx -c /etc 'a = b'

The manual has the rest: man postx
)");
}

TEST(Mdoc, AnUnknownMacroIsAnErrorThatNamesItsLine) {
  const auto text = help_text(".Sh DESCRIPTION\n.Xx what\n");
  ASSERT_FALSE(text);
  EXPECT_THAT(text.error().message(), HasSubstr("line 2: macro .Xx"));
}

TEST(Mdoc, ParametersAreThoseTheProgramReads) {
  const ParametersNamed names = parameters_named(kPage);
  EXPECT_THAT(names.own, UnorderedElementsAre("relayhost", "mydestination", "Va", "smtp_timeout", "lmtp_timeout"));
  EXPECT_THAT(names.all_daemons, UnorderedElementsAre("max_use"));
}

TEST(Mdoc, WordsMayBeQuoted) {
  EXPECT_THAT(words_of(R"(Ql "a b"  c\ d "open)"), ElementsAre("Ql", "a b", "c\\ d", "open"));
  EXPECT_THAT(words_of(""), ElementsAre());
}

}  // namespace
}  // namespace stagepost::manual
