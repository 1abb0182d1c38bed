// The coroutine type of the project. Asio proper stays behind src/lib/net/*.cpp.
#pragma once

#include <boost/asio/awaitable.hpp>

namespace stagepost::net {

/// A coroutine that is awaited by its caller or spawned into a TaskGroup; it does nothing until then.
template <class T = void>
using Task = boost::asio::awaitable<T>;

}  // namespace stagepost::net
