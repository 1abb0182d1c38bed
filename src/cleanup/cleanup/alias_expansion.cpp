#include "cleanup/cleanup/alias_expansion.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "mail/address.hpp"
#include "mail/address_list.hpp"

namespace stagepost::cleanup {
namespace {

AliasFailure failed(std::string log) { return {.status = {"4.6.0", "Alias expansion error"}, .log = std::move(log)}; }

/// An address on its way, with the addresses it came from (so that a loop ends at its first repetition).
struct Step {
  std::string address;
  std::vector<std::string> ancestors;
};

}  // namespace

bool is_canonical(std::string_view external) {
  static constexpr std::string_view kAtext = "!#$%&'*+-/=?^_`{|}~.";
  const std::size_t at = external.find('@');
  if (at == 0 || at == std::string_view::npos) { return false; }
  const std::string_view local = external.substr(0, at);
  const std::string_view domain = external.substr(at + 1);
  const auto plain_local = [](char c) {
    return text::is_alnum(c) || (kAtext.find(c) != std::string_view::npos && c != '!' && c != '%');
  };
  const auto plain_domain = [](char c) { return text::is_alnum(c) || c == '-' || c == '.'; };
  return std::ranges::all_of(local, plain_local) && std::ranges::all_of(domain, plain_domain) &&
         local.find("..") == std::string_view::npos && !local.starts_with('.') && !local.ends_with('.') &&
         domain.find('.') != std::string_view::npos && !domain.starts_with('.') && !domain.ends_with('.') &&
         domain.find("..") == std::string_view::npos;
}

net::Task<std::expected<std::vector<std::string>, AliasFailure>> expand_alias(AliasLookup& lookup,
                                                                              const Settings& settings,
                                                                              std::string address) {
  std::vector<std::string> result;
  std::vector<Step> todo;  // a stack: the next address is at the end
  const std::string origin = address;
  todo.push_back({std::move(address), {}});
  while (!todo.empty()) {
    Step step = std::move(todo.back());
    todo.pop_back();
    const std::string folded = mail::fold_case(step.address);
    if (std::ranges::find(step.ancestors, folded) != step.ancestors.end()) {
      result.push_back(std::move(step.address));
      continue;
    }
    if (step.ancestors.size() >= settings.virtual_alias_recursion_limit) {
      co_return std::unexpected(failed("unreasonable virtual_alias_maps map nesting for " + origin +
                                       " -- message not accepted, try again later"));
    }
    const auto hit = co_await lookup.find(step.address);
    if (!hit) {
      co_return std::unexpected(AliasFailure{.status = {"4.3.0", "Temporary lookup failure"},
                                             .log = "virtual_alias_maps map lookup problem for " + step.address + ": " +
                                                    hit.error().message() +
                                                    " -- message not accepted, try again later"});
    }
    if (!*hit) {
      result.push_back(std::move(step.address));
    } else {
      std::vector<std::string> ancestors = step.ancestors;
      ancestors.push_back(folded);
      std::vector<Step> next;
      for (const mail::ListedAddress& listed : mail::extract_addresses((*hit)->addresses)) {
        std::string target = mail::unquote_822_local(listed.address);
        if (target.starts_with('@')) { target = maps::expand_domain_result(target, step.address); }
        if (settings.propagate_virtual_extension && !(*hit)->unmatched_extension.empty()) {
          target = maps::with_extension(target, (*hit)->unmatched_extension);
        }
        const auto rewritten = co_await lookup.rewrite(mail::quote_822_local(target));
        if (!rewritten) {
          co_return std::unexpected(
              AliasFailure{.status = {"4.3.0", "Temporary lookup failure"}, .log = rewritten.error().message()});
        }
        target = mail::unquote_822_local(*rewritten);
        if (target.size() > settings.virtual_alias_address_length_limit) {
          co_return std::unexpected(failed("unreasonable result " + target.substr(0, 300) +
                                           "... in virtual_alias_maps map for " + origin +
                                           " -- message not accepted, try again later"));
        }
        next.push_back({std::move(target), ancestors});
      }
      for (auto it = next.rbegin(); it != next.rend(); ++it) { todo.push_back(std::move(*it)); }
    }
    if (result.size() + todo.size() > settings.virtual_alias_expansion_limit) {
      co_return std::unexpected(failed("unreasonable virtual_alias_maps map expansion size for " + origin +
                                       " -- message not accepted, try again later"));
    }
  }
  co_return result;
}

net::Task<Result<std::optional<AliasLookup::Hit>>> TableAliasLookup::find(std::string address) {
  if (tables_.empty()) { co_return std::nullopt; }
  const auto site = co_await local_.site_of(address);
  if (!site) { co_return std::unexpected(site.error()); }
  const maps::LookupKeys keys = maps::address_keys(address, settings_.extension, *site);
  auto match = co_await tables_.find(keys);
  if (!match) { co_return std::unexpected(match.error()); }
  if (!*match) { co_return std::nullopt; }
  co_return Hit{.addresses = std::move((*match)->value),
                .unmatched_extension = keys.at((*match)->key_index).unmatched_extension};
}

net::Task<Result<std::string>> TableAliasLookup::rewrite(std::string external) {
  if (is_canonical(external)) { co_return external; }
  auto rewritten = co_await rewrite_.rewrite(clients::RewriteContext::local, std::move(external));
  co_return rewritten;
}

}  // namespace stagepost::cleanup
