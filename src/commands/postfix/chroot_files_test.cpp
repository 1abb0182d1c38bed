#include "commands/postfix/chroot_files.hpp"

#include <cstdlib>
#include <filesystem>

#include <gtest/gtest.h>

#include "base/sys.hpp"

namespace stagepost::postfix {
namespace {

class ChrootFiles : public ::testing::Test {
 protected:
  ChrootFiles() : root_(::testing::TempDir() + "stagepost_chroot_XXXXXX") {
    EXPECT_NE(::mkdtemp(root_.data()), nullptr);
    std::filesystem::create_directories(root_ + "/etc");
    std::filesystem::create_directories(root_ + "/queue");
  }
  ~ChrootFiles() override { std::filesystem::remove_all(root_); }
  void write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(sys::replace_file(root_ + "/" + name, text, 0600));
  }
  std::string root_;
};

TEST_F(ChrootFiles, CopiesWhatDiffersForAllToRead) {
  write("etc/resolv.conf", "nameserver 192.0.2.1\n");
  write("etc/services", "smtp 25/tcp\n");
  write("etc/shadow", "secret\n");
  using Names = std::vector<std::string>;
  EXPECT_EQ(fill_chroot(root_ + "/etc", root_ + "/queue").value(), (Names{"resolv.conf", "services"}));
  EXPECT_EQ(sys::read_file(root_ + "/queue/etc/resolv.conf", 100).value(), "nameserver 192.0.2.1\n");
  EXPECT_EQ(sys::stat(root_ + "/queue/etc/services")->st_mode & 0777U, 0644U);
  EXPECT_EQ(sys::stat(root_ + "/queue/etc")->st_mode & 0777U, 0755U);
  EXPECT_FALSE(std::filesystem::exists(root_ + "/queue/etc/shadow"));
  EXPECT_EQ(fill_chroot(root_ + "/etc", root_ + "/queue").value(), Names{});
  write("etc/resolv.conf", "nameserver 192.0.2.2\n");
  EXPECT_EQ(fill_chroot(root_ + "/etc", root_ + "/queue").value(), Names{"resolv.conf"});
}

TEST_F(ChrootFiles, NothingToCopyMakesNothing) {
  EXPECT_TRUE(fill_chroot(root_ + "/etc", root_ + "/queue").value().empty());
  EXPECT_FALSE(std::filesystem::exists(root_ + "/queue/etc"));
}

TEST(Chroot, IsAskedForByAnyService) {
  const auto services = [](const std::string& text) { return config::parse_master_cf(text, "master.cf").value(); };
  EXPECT_TRUE(uses_chroot(services("pickup unix n - n 60 1 pickup\nsmtp unix - - y - - smtp\n")));
  EXPECT_FALSE(uses_chroot(services("pickup unix n - n 60 1 pickup\nsmtp unix - - n - - smtp\n")));
}

}  // namespace
}  // namespace stagepost::postfix
