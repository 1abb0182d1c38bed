#include "commands/postconf/features.hpp"

#include <array>
#include <memory>
#include <span>

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/opensslv.h>

#include "base/nearest_name.hpp"
#include "base/safe_text.hpp"
#include "base/sys.hpp"
#include "config/sasl_types.hpp"
#include "mail/report_template.hpp"
#include "maps/module_loading.hpp"

namespace stagepost::postconf {
namespace {

constexpr std::array<std::string_view, 3> kTlsModes{"compile-version", "run-version", "public-key-algorithms"};

template <class Names>
std::string lines(const Names& names) {
  std::string text;
  for (const auto& name : names) { text += fmt::format("{}\n", name); }
  return text;
}

Result<std::string> table_types(const Options& options, std::vector<std::string>& warnings) {
  config::LoadOptions load{.config_directory = config_directory(options), .check = config::LoadOptions::Check::no};
  SP_TRY(const config::SnapshotPtr config, config::Snapshot::load(load));
  maps::OpenContext context;
  context.warn = [&](std::string_view line) { warnings.emplace_back(line); };
  return lines(maps::types_with_modules(*config, context)->names());
}

/// Kinds of keys a certificate may have: the names Postfix lists, of those the library has.
std::string public_key_algorithms() {
  constexpr std::pair<std::string_view, const char*> kAlgorithms[] = {{"dsa", "DSA"}, {"ecdsa", "EC"}, {"rsa", "RSA"}};
  std::string text;
  for (const auto& [name, openssl_name] : kAlgorithms) {
    const std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> context(
        EVP_PKEY_CTX_new_from_name(nullptr, openssl_name, nullptr), EVP_PKEY_CTX_free);
    if (context != nullptr) { text += fmt::format("{}\n", name); }
  }
  return text;
}

/// -b: the texts as a report would have them; -t: the templates as a file would have them.
Result<std::string> report_texts(const Options& options, std::vector<std::string>& warnings) {
  config::LoadOptions load{.config_directory = config_directory(options), .check = config::LoadOptions::Check::no};
  SP_TRY(const config::SnapshotPtr config, config::Snapshot::load(load));
  const std::string path =
      options.arguments.empty() ? config->find_text("bounce_template_file").value_or("") : options.arguments.front();
  mail::ReportTemplates templates = mail::built_in_report_templates();
  if (!path.empty()) {
    SP_TRY(const std::string content, sys::read_file(path, mail::kReportTemplateFileBytes));
    templates = mail::parse_report_templates(content, path, warnings);
  }
  std::string text;
  for (const mail::ReportTemplate& report : templates) {
    if (!text.empty()) { text += '\n'; }
    if (options.subject == Subject::report_templates) {
      text += mail::format_report_template(report);
      continue;
    }
    auto expanded = mail::expand_report_text(report, *config);
    if (!expanded) { return failure(fmt::format("{}: {}", path, expanded.error().message())); }
    text += fmt::format("expanded_{}_text = <<EOF\n{}EOF\n", report.name, *expanded);
  }
  return text;
}

}  // namespace

Result<Output> show_features(const Options& options) {
  Output output;
  switch (options.subject) {
    case Subject::sasl_server_types:
      output.text = lines(config::sasl_server_types());
      break;
    case Subject::sasl_client_types:
      output.text = lines(config::sasl_client_types());
      break;
    case Subject::lock_types:
      output.text = "flock\nfcntl\ndotlock\n";
      break;
    case Subject::report_texts:
    case Subject::report_templates: {
      SP_TRY(output.text, report_texts(options, output.warnings));
      break;
    }
    case Subject::table_types: {
      SP_TRY(output.text, table_types(options, output.warnings));
      break;
    }
    default:
      if (options.tls_mode == "compile-version") {
        output.text = OPENSSL_VERSION_TEXT "\n";
      } else if (options.tls_mode == "run-version") {
        output.text = fmt::format("{}\n", OpenSSL_version(OPENSSL_VERSION));
      } else if (options.tls_mode == "public-key-algorithms") {
        output.text = public_key_algorithms();
      } else {
        output.warnings.push_back(fmt::format("unknown 'postconf -T' mode: {}", printable(options.tls_mode)) +
                                  did_you_mean(options.tls_mode, kTlsModes));
        output.status = 1;
      }
  }
  return output;
}

}  // namespace stagepost::postconf
