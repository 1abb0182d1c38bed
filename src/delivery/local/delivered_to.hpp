// Finds "Delivered-To: address" in the header of a message: mail that was here before (local(8), MAIL FORWARDING).
// Pure.
#pragma once

#include <string>
#include <string_view>

namespace stagepost::local {

class DeliveredToScan {
 public:
  /// `address`: internal form. Case does not count.
  explicit DeliveredToScan(std::string_view address);

  enum class Progress { more, end_of_header };
  /// The next line, or piece of a line that is too long for one (`complete` false); no line end. Only the first 2048
  /// bytes of a field are compared, which is more than an address can have.
  Progress feed(std::string_view text, bool complete);
  /// After end_of_header, or after the last line of a message without body.
  [[nodiscard]] bool found();

 private:
  void end_field();

  std::string wanted_;
  std::string field_;
  bool at_line_start_ = true;
  bool found_ = false;
};

}  // namespace stagepost::local
