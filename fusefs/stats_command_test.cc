#include "fusefs/stats_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/temp_dir.h"
#include "fusefs/control.h"
#include "fusefs/stats.h"

namespace acetate::fusefs {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

CommandLine Parse(const std::vector<std::string>& args) {
  absl::StatusOr<CommandLine> line = ParseCommandLine(args);
  EXPECT_TRUE(line.ok()) << line.status();
  return *line;
}

TEST(StatsCommandTest, AsksTheSocket) {
  TempDir temp;
  Stats stats;
  stats.Count(Opcode::kMkdir);
  auto server = ControlServer::Start(temp / "c.sock", ControlServer::IfServed::kRefuse, [&](absl::string_view request) {
    EXPECT_EQ(request, "stats");
    return stats.Json();
  });
  ASSERT_TRUE(server.ok()) << server.status();
  absl::StatusOr<std::string> json = StatsOutput(Parse({"stats", "--json", "--control=" + temp / "c.sock"}));
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_THAT(*json, AllOf(HasSubstr("\"MKDIR\":1"), HasSubstr("\"OPEN\":0")));
  absl::StatusOr<std::string> table = StatsOutput(Parse({"stats", "--control=" + temp / "c.sock"}));
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_THAT(*table, AllOf(HasSubstr("MKDIR "), HasSubstr("total_requests "), Not(HasSubstr("OPEN"))));
}

TEST(StatsCommandTest, NotAMountOfFusefs) {
  TempDir temp;
  EXPECT_THAT(std::string(StatsOutput(Parse({"stats", temp.path()})).status().message()), HasSubstr("is not a mount"));
  EXPECT_THAT(std::string(StatsOutput(Parse({"stats", temp / "none"})).status().message()), HasSubstr("No such file"));
  EXPECT_THAT(std::string(StatsOutput(Parse({"stats", "/proc"})).status().message()), HasSubstr("of type proc"));
}

TEST(StatsCommandTest, ARepliesControlCharactersDoNotReachTheTerminal) {
  EXPECT_FALSE(FormatStats("\x1b[2J", false).ok());
  EXPECT_FALSE(FormatStats("[1]", true).ok());
  EXPECT_THAT(*FormatStats(R"({"\u001b[2J":"\u001b"})", true), Not(HasSubstr("\x1b")));
}

}  // namespace
}  // namespace acetate::fusefs
