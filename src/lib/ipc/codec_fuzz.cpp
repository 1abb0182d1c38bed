// The IPC decoder against arbitrary bytes: whatever it accepts must encode to the same bytes again.
#include <cstdint>
#include <cstdlib>

#include "ipc/frame.hpp"

namespace {

struct Leaf {
  std::string name;
  std::optional<std::string> note;
  auto fields(this auto& self, auto&& visit) { return visit(self.name, self.note); }
};

struct Tree {
  static constexpr std::uint16_t kType = 1;
  std::uint32_t number = 0;
  bool flag = false;
  std::vector<Leaf> leaves;
  std::vector<std::string> words;
  std::chrono::microseconds delay{0};
  auto fields(this auto& self, auto&& visit) {
    return visit(self.number, self.flag, self.leaves, self.words, self.delay);
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace stagepost::ipc;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (size >= kHeaderBytes) { [[maybe_unused]] const auto header = parse_header(bytes); }
  const auto tree = decode<Tree>(bytes);
  if (!tree) { return 0; }
  std::string again;
  append_frame(again, *tree);
  if (again.substr(kHeaderBytes) != bytes) { std::abort(); }
  return 0;
}
