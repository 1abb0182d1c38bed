// See user_list.hpp.
#include "maps/user_list.hpp"

#include "maps/context.hpp"
#include "maps/match_list.hpp"
#include "net/event_loop.hpp"

namespace stagepost::maps {
namespace {

net::Task<> ask(const MatchList& list, MatchList::Subject subject, Result<bool>& listed) {
  auto answer = co_await list.matches(std::move(subject));
  listed = std::move(answer);
}

}  // namespace

Result<bool> user_is_listed(const config::SnapshotPtr& config, std::string_view parameter, const std::string& user) {
  const std::string value = config->text(parameter);
  // The default, for which a command that is run for each message needs no event loop and no modules.
  if (value == "static:anyone") { return true; }
  net::EventLoop loop;
  OpenContext context = make_context(config, &loop);
  context.may_block = true;
  SP_TRY(const MatchList list, MatchList::create(parameter, value, {.style = MatchStyle::strings}, context));
  MatchList::Subject subject;
  subject.name = user;
  Result<bool> listed = failure("not asked");
  loop.run_task(ask(list, std::move(subject), listed));
  return listed;
}

}  // namespace stagepost::maps
