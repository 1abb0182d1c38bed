// Hands a submission to postdrop(1), as a stream of records through a pipe. Calls block: for programs with one user.
#pragma once

#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include "base/result.hpp"
#include "base/unique_fd.hpp"

namespace stagepost::queue {

class Postdrop {
 public:
  /// Starts `program` with `arguments`.
  [[nodiscard]] static Result<Postdrop> start(const std::string& program, const std::vector<std::string>& arguments);
  /// Waits for a program that was not finished.
  ~Postdrop();
  Postdrop(Postdrop&& other) noexcept;
  Postdrop& operator=(Postdrop&&) = delete;

  /// The queue ID of the file postdrop has made; waits for it. An error: postdrop refused, with its reason.
  [[nodiscard]] Result<std::string> wait_id();
  /// Nothing is submitted: postdrop removes its file and ends.
  void give_up();
  /// False when postdrop does not take any more: finish() tells why.
  [[nodiscard]] bool write(std::string_view records);
  struct Outcome {
    int exit_status = 0;  ///< sysexits; EX_TEMPFAIL when it died
    std::string error;    ///< its line on standard error, without "postdrop: fatal: "
    std::string queue_id;
  };
  [[nodiscard]] Outcome finish();

 private:
  Postdrop(pid_t pid, unique_fd input, unique_fd output, unique_fd error);
  pid_t pid_;
  std::string output_text_;
  unique_fd input_, output_, error_;
};

}  // namespace stagepost::queue
