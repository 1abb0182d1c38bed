// Counts by domain and age, and their table as Postfix's qshape(1) prints it. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace stagepost::qshape {

/// Classes of age: each ends where the next begins, the last one is open.
class AgeBuckets {
 public:
  enum class Growth { geometric, linear };
  /// `count` classes (at least 1), the first of `minutes` (at least 1). Limits saturate.
  AgeBuckets(std::size_t count, std::int64_t minutes, Growth growth);

  [[nodiscard]] std::size_t size() const { return limits_.size() + 1; }
  /// The class of an age in seconds; a message from the future is in the first one.
  [[nodiscard]] std::size_t of(std::int64_t seconds) const;
  /// "5", "10" ... "1280+".
  [[nodiscard]] std::vector<std::string> titles() const;

 private:
  std::vector<std::int64_t> limits_;  ///< minutes
};

/// The domain of an address in internal form as the table shows it: lower case, without superfluous dots; an address
/// without "@" as a whole, the null address as MAILER-DAEMON. May be empty ("user@.").
[[nodiscard]] std::string domain_of(std::string_view address);

class Distribution {
 public:
  struct Layout {
    std::size_t width = 80;           ///< columns; 80 at least
    bool parents = false;             ///< rows ".example.com" for what is below example.com
    std::size_t min_subdomains = 5;   ///< what a parent needs to have a row
    std::size_t rows = SIZE_MAX - 1;  ///< at most, with the row of the total
  };
  explicit Distribution(AgeBuckets buckets) : buckets_(std::move(buckets)), total_(buckets_.size()) {}

  void add(std::string_view address, std::int64_t age_seconds);
  [[nodiscard]] std::string table(const Layout& layout) const;

 private:
  using Counts = std::vector<std::uint64_t>;
  struct Row {
    std::string name;
    std::uint64_t sum = 0;
    const Counts* counts = nullptr;
  };
  struct Parent {
    Counts counts;
    std::size_t children = 0;  ///< domains and parents right below
  };
  [[nodiscard]] std::unordered_map<std::string, Parent> parents() const;

  AgeBuckets buckets_;
  Counts total_;
  std::unordered_map<std::string, Counts> domains_;
};

}  // namespace stagepost::qshape
