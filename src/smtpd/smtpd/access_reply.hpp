// What a refusal is called: the words, codes and status corrections of access control. Pure.
#pragma once

#include <string>
#include <string_view>

#include "mail/reply.hpp"

namespace stagepost::smtpd {

/// What is refused: its name in the reply, and what kind of thing it is ("Recipient address").
struct Topic {
  std::string name;
  std::string_view kind;
};
inline constexpr std::string_view kClientHost = "Client host";
inline constexpr std::string_view kHeloCommand = "Helo command";
inline constexpr std::string_view kSenderAddress = "Sender address";
inline constexpr std::string_view kRecipientAddress = "Recipient address";
inline constexpr std::string_view kDataCommand = "Data command";
inline constexpr std::string_view kEndOfData = "End-of-data";
inline constexpr std::string_view kEtrnCommand = "Etrn command";

/// An enhanced code from a table, made to fit the topic: codes about sender and recipient addresses (X.1.Y) are
/// exchanged, and have no place in replies about anything else.
[[nodiscard]] std::string fit_status(std::string_view code, std::string_view kind);

/// "<name>: Recipient address rejected: text".
[[nodiscard]] smtp::Reply rejection(int code, std::string_view enhanced, const Topic& topic, std::string_view text);

/// The same reply as a temporary one: 4xx 4.x.x (defer_if_permit, soft_bounce).
[[nodiscard]] smtp::Reply as_temporary(smtp::Reply reply);

}  // namespace stagepost::smtpd
