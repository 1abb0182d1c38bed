#include "mail/verp.hpp"

#include "base/assert.hpp"

namespace stagepost::mail {

bool is_verp_delimiters(std::string_view delimiters, std::string_view filter) {
  return delimiters.size() == 2 && delimiters.find_first_not_of(filter) == std::string_view::npos;
}

std::string verp_sender(std::string_view sender, std::string_view delimiters, std::string_view recipient) {
  SP_ASSERT(delimiters.size() == 2);
  const std::size_t sender_at = sender.rfind('@');
  const std::size_t recipient_at = recipient.rfind('@');
  std::string result(sender.substr(0, sender_at));
  result += delimiters[0];
  result += recipient.substr(0, recipient_at);
  if (recipient_at != std::string_view::npos) {
    result += delimiters[1];
    result += recipient.substr(recipient_at + 1);
  }
  if (sender_at != std::string_view::npos) { result += sender.substr(sender_at); }
  return result;
}

}  // namespace stagepost::mail
