// Whoever may write to the socket: whatever comes, every line is written once, each is one line, and none waits long.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "log/batch.hpp"
#include "services/postlogd/line_merger.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace stagepost;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  constexpr log::LineTime kNow = 1'000'000'000'000;
  constexpr log::LineTime kLongest = 300'000'000;
  postlogd::LineMerger merger;
  std::size_t lines = 0;
  // Two senders.
  const std::size_t half = size / 2;
  for (const std::string_view datagram : {input.substr(0, half), input.substr(half)}) {
    log::BatchReader reader(datagram);
    while (reader.next()) { ++lines; }
    merger.add(datagram, kNow);
    if (const auto due = merger.due(); due && *due > kNow + kLongest) { std::abort(); }
  }
  std::string out;
  merger.take_settled(kNow, out);
  merger.take_settled(kNow + kLongest, out);
  if (!merger.empty() || static_cast<std::size_t>(std::count(out.begin(), out.end(), '\n')) != lines) { std::abort(); }
  return 0;
}
