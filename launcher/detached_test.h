// A test with containers in the background, as each kind of user starts them.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "launcher/each_user_test.h"

namespace acetate::launcher {

class DetachedTest : public EachUserTest {
 protected:
  // run -d FLAGS... -- sh -c SCRIPT; the id.
  std::string Detach(const std::vector<std::string>& flags, const std::string& script) {
    std::vector<std::string> words = {"-d"};
    words.insert(words.end(), flags.begin(), flags.end());
    Result result = host_->Shell(words, script);
    EXPECT_EQ(result.status, 0) << result;
    EXPECT_EQ(result.err, "");
    EXPECT_THAT(result.out, ::testing::MatchesRegex("[0-9a-f]+\n"));
    EXPECT_EQ(result.out.size(), 65u);
    return result.out.substr(0, 64);
  }

  Result Launch(const std::vector<std::string>& words) { return host_->Launch(words); }

  // The output of a verb that has to go well.
  std::string Out(const std::vector<std::string>& words) {
    Result result = Launch(words);
    EXPECT_EQ(result.status, 0) << result;
    return result.out;
  }

  // What inspect says of one container.
  nlohmann::json Inspect(const std::string& reference) {
    return nlohmann::json::parse(Out({"inspect", reference})).at(0);
  }

  bool Logged(const std::string& reference, const std::string& text) {
    return Eventually([&] { return Launch({"logs", reference}).out.find(text) != std::string::npos; });
  }

  void ExpectError(const Result& result, const std::string& text) {
    EXPECT_EQ(result.status, 125) << result;
    EXPECT_THAT(result.err, ::testing::AllOf(::testing::StartsWith("launch: "), ::testing::HasSubstr(text)));
    EXPECT_EQ(result.err.find('\n'), result.err.size() - 1) << "not one line: " << result.err;
  }

  void ExpectNothingOutside() {
    EXPECT_TRUE(std::filesystem::is_empty(host_->runtime()));
    EXPECT_TRUE(std::filesystem::is_empty(host_->store() + "/running"));
  }
};

}  // namespace acetate::launcher
