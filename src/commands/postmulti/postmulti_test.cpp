// Command lines, selection, order and conflicts of instances.
#include <gtest/gtest.h>

#include "base/argument_vector.hpp"
#include "commands/postmulti/instances.hpp"
#include "commands/postmulti/options.hpp"

namespace stagepost::postmulti {
namespace {

Result<Options> parse(std::vector<std::string> words) {
  ArgumentVector arguments("postmulti", std::move(words));
  testing::internal::CaptureStderr();
  auto options = parse_options(arguments.count(), arguments.pointers());
  static_cast<void>(testing::internal::GetCapturedStderr());
  return options;
}

std::string error_of(const std::vector<std::string>& words) {
  const auto options = parse(words);
  return options ? "" : options.error().context;
}

TEST(Options, OneModeAndOneSelection) {
  EXPECT_EQ(parse({"-x", "ls", "-l"})->command, (std::vector<std::string>{"ls", "-l"}));
  EXPECT_EQ(parse({"-p", "--", "start"})->command, std::vector<std::string>{"start"});
  EXPECT_EQ(error_of({}), "Specify exactly one of '-e', '-l', '-p', '-x'");
  EXPECT_EQ(error_of({"-l", "-p", "status"}), "Specify exactly one of '-e', '-l', '-p', '-x'");
  EXPECT_EQ(error_of({"-l", "-a", "-i", "-"}), "Specify no more than one of '-a', '-g', '-i'");
  EXPECT_EQ(error_of({"-p", "-R", "status"}), "The '-p' and '-e' options preclude the use of '-R'");
  EXPECT_EQ(error_of({"-l", "x"}), "Command not allowed with '-l'");
  EXPECT_EQ(error_of({"-x"}), "Command required with '-p' or '-x' option");
  EXPECT_EQ(error_of({"-l", "-G", "x"}), "Cannot assign instance name or group without '-e assign'");
}

TEST(Options, EditsTakeWhatBelongsToThem) {
  const auto options =
      parse({"-e", "create", "-I", "postfix-a", "-G", "-", "queue_directory=/q/", "data_directory = /d"});
  ASSERT_TRUE(options.has_value()) << options.error().context;
  EXPECT_EQ(options->new_name, "postfix-a");
  EXPECT_EQ(options->new_group, "") << "no group";
  EXPECT_EQ(options->queue_directory, "/q");
  EXPECT_EQ(options->data_directory, "/d");
  EXPECT_EQ(error_of({"-e", "frob"}).substr(0, 34), "Invalid '-e' edit action 'frob'. S");
  EXPECT_EQ(error_of({"-e", "enable"}), "Select an instance via '-i name'");
  EXPECT_EQ(error_of({"-e", "enable", "-i", "-", "x=y"}), "Parameter overrides not valid with '-e enable'");
  EXPECT_EQ(error_of({"-e", "enable", "-i", "-", "-G", "g"}), "Cannot assign instance name or group with '-e enable'");
  EXPECT_EQ(error_of({"-e", "assign", "-i", "-"}), "Specify new instance name or group with '-e assign'");
  EXPECT_EQ(error_of({"-e", "create", "-I", "foo"}), "New instance name must start with 'postfix-'");
  EXPECT_EQ(error_of({"-e", "create", "-I", "postfix-a/../b"}),
            "Unsafe characters in new instance name: 'postfix-a/../b'");
  EXPECT_EQ(error_of({"-e", "create", "-G", "a b"}), "Unsafe characters in '-G a b'");
  EXPECT_EQ(error_of({"-e", "create", "foo"}), "Malformed parameter setting 'foo'");
  EXPECT_EQ(error_of({"-e", "create", "foo=/bar"}), "Parameter 'foo' not valid with action create");
  EXPECT_EQ(error_of({"-e", "import", "queue_directory=/q"}),
            "Parameter 'queue_directory' not valid with action import");
  EXPECT_EQ(error_of({"-e", "create", "config_directory=rel"}),
            "Parameter setting 'config_directory' is not an absolute path");
  EXPECT_EQ(error_of({"-e", "create", "config_directory=/a b"}), "Unsafe characters in 'config_directory=/a b'");
}

Instance instance(const std::string& name, const std::string& group) {
  return {.config_directory = "/etc/" + name,
          .queue_directory = "/spool/" + name,
          .data_directory = "/lib/" + name,
          .name = name,
          .group = group};
}

TEST(Instances, SelectionByNamePathAndGroup) {
  Instance primary = instance("", "");
  primary.primary = true;
  const Instance one = instance("postfix-a", "g");
  EXPECT_TRUE(matches(one, {}));
  EXPECT_TRUE(matches(one, {.name = "postfix-a"}));
  EXPECT_TRUE(matches(one, {.name = "/etc/postfix-a"}));
  EXPECT_TRUE(matches(one, {.group = "g"}));
  EXPECT_FALSE(matches(one, {.name = "-"}));
  EXPECT_TRUE(matches(primary, {.name = "-"}));
  EXPECT_FALSE(matches(primary, {.group = ""})) << "no group is not a group";
  EXPECT_FALSE(matches(primary, {.name = ""}));
}

TEST(Instances, DirectoriesAndNamesAreNotShared) {
  const Instance a = instance("postfix-a", "");
  EXPECT_EQ(conflict(a, instance("postfix-b", "")), "");
  EXPECT_EQ(conflict(a, a), "");
  Instance b = instance("postfix-b", "");
  b.queue_directory = a.queue_directory;
  EXPECT_EQ(conflict(b, a),
            "instance /etc/postfix-b, queue_directory=/spool/postfix-a conflicts with instance /etc/postfix-a, "
            "queue_directory=/spool/postfix-a");
  b = instance("postfix-b", "");
  b.data_directory = b.queue_directory;
  EXPECT_NE(conflict(b, b), "") << "with itself";
  b = instance("postfix-b", "");
  b.name = a.name;
  EXPECT_NE(conflict(b, a), "");
}

TEST(Instances, NewOnesGoWhereTheSelectionSays) {
  const std::vector<Instance> instances{instance("", ""), instance("postfix-a", ""), instance("postfix-b", "g"),
                                        instance("postfix-c", "g")};
  EXPECT_EQ(insert_position(instances, {}).value(), 3U);
  EXPECT_EQ(insert_position(instances, {.all = true}).value(), 0U);
  EXPECT_EQ(insert_position(instances, {.group = "g"}).value(), 1U);
  EXPECT_EQ(insert_position(instances, {.name = "postfix-c"}).value(), 2U);
  EXPECT_FALSE(insert_position(instances, {.name = "postfix-x"}).has_value());
}

TEST(Instances, Texts) {
  EXPECT_EQ(sibling("/etc/postfix", "postfix-a"), "/etc/postfix-a");
  EXPECT_EQ(sibling("/etc/postfix/", "postfix-a"), "/etc/postfix-a");
  EXPECT_EQ(listing_line(instance("postfix-a", "")), "postfix-a       -               n         /etc/postfix-a");
}

}  // namespace
}  // namespace stagepost::postmulti
