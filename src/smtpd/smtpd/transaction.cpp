#include "smtpd/smtpd/transaction.hpp"

namespace stagepost::smtpd {

smtp::Reply reply_for(const clients::CleanupResult& result) {
  using Status = clients::CleanupResult::Status;
  const auto make = [](int code, std::string_view enhanced, std::string text) {
    return smtp::Reply{.code = code, .enhanced = std::string(enhanced), .text = std::move(text)};
  };
  switch (result.status) {
    case Status::too_large:
      return make(552, "5.3.4", "Error: message file too big");
    case Status::too_many_hops:
      return make(554, "5.4.0", "Error: too many hops");
    case Status::no_recipients:
      return make(554, "5.5.1", "Error: no valid recipients");
    case Status::rejected: {
      // An administrator's text, with its own code if it has one.
      const bool temporary = result.code.starts_with('4');
      return make(temporary ? 450 : 550, result.code.empty() ? "5.7.1" : std::string_view(result.code), result.text);
    }
    case Status::no_space:
      return make(452, "4.3.1", "Error: insufficient system storage");
    case Status::write_error:
    case Status::bad_request:
    case Status::aborted:
      return make(451, "4.3.0", "Error: queue file write error");
    case Status::temporary:
      // What is wrong with the address is said as it is; our own trouble is an error.
      if (result.code.starts_with("4.6.")) { return make(451, result.code, result.text); }
      return make(451, result.code.starts_with('4') ? std::string_view(result.code) : "4.3.0",
                  "Error: " + (result.text.empty() ? std::string("queue file write error") : result.text));
    case Status::ok:
    case Status::discarded:
      break;
  }
  return make(250, "2.0.0", "Ok");
}

}  // namespace stagepost::smtpd
