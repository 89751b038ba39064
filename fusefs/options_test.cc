#include "fusefs/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace acetate::fusefs {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

Options Parse(const std::vector<std::string>& args) {
  absl::StatusOr<CommandLine> line = ParseCommandLine(args);
  EXPECT_TRUE(line.ok()) << line.status();
  return line.ok() ? line->options : Options();
}

std::string Error(const std::vector<std::string>& args) {
  absl::StatusOr<CommandLine> line = ParseCommandLine(args);
  EXPECT_FALSE(line.ok());
  return line.ok() ? "" : std::string(line.status().message());
}

// With the rest of a command line that works.
Options ParseOption(const std::string& option) { return Parse({"-o", "lowerdir=/a," + option, "/m"}); }
std::string OptionError(const std::string& option) { return Error({"-o", "lowerdir=/a," + option, "/m"}); }

TEST(OptionsTest, OverlayfsCommandLine) {
  Options options = Parse({"-f", "-o", "lowerdir=/a:/b,upperdir=/u,workdir=/w,volatile", "/m"});
  ASSERT_EQ(options.branches.size(), 3u);
  EXPECT_EQ(options.branches[0].path, "/u");
  EXPECT_EQ(options.branches[0].mode, BranchMode::kReadWrite);
  EXPECT_EQ(options.branches[1].path, "/a");
  EXPECT_EQ(options.branches[1].mode, BranchMode::kReadOnly);
  EXPECT_EQ(options.branches[2].path, "/b");
  EXPECT_EQ(options.branches[0].workdir, "/w");
  EXPECT_FALSE(options.branches[0].make_workdir);
  EXPECT_EQ(options.mountpoint, "/m");
  EXPECT_TRUE(options.foreground);
  EXPECT_TRUE(options.skip_sync);
  EXPECT_EQ(options.fsname, "fusefs");
}

TEST(OptionsTest, OptionsMayFollowTheMountpointAndRepeat) {
  Options options = Parse({"/m", "-olowerdir=/a", "-o", "noatime", "-o", "timeout=1.5"});
  EXPECT_EQ(options.mountpoint, "/m");
  EXPECT_EQ(options.timeout, 1.5);
  EXPECT_THAT(options.mount_options, ElementsAre("noatime"));
  EXPECT_FALSE(options.foreground);
}

TEST(OptionsTest, EscapesAsInOverlayfs) {
  Options options = Parse({"-o", R"(lowerdir=/a\:1:/b\,2:/c\\3,upperdir=/u\:\,x,workdir=/w\,y)", "/m"});
  ASSERT_EQ(options.branches.size(), 4u);
  EXPECT_EQ(options.branches[0].path, "/u:,x");
  EXPECT_EQ(options.branches[1].path, "/a:1");
  EXPECT_EQ(options.branches[2].path, "/b,2");
  EXPECT_EQ(options.branches[3].path, R"(/c\3)");
  EXPECT_EQ(options.branches[0].workdir, "/w,y");
}

TEST(OptionsTest, LongOptionsNeedNoEscapeForCommas) {
  Options options = Parse({"--lowerdir=/a,b", "--allow-other", "--control=/run/c.sock", "--xattr=off", "/m"});
  EXPECT_EQ(options.branches[0].path, "/a,b");
  EXPECT_TRUE(options.allow_other);
  EXPECT_TRUE(options.xattr_off);
  EXPECT_EQ(options.control_path, "/run/c.sock");
}

TEST(OptionsTest, BranchesDeriveTheWorkDirectory) {
  Options options = Parse({"--branches=/srv/u=rw:/a=ro", "/m"});
  EXPECT_EQ(options.branches[0].workdir, "/srv/.u.work");
  EXPECT_TRUE(options.branches[0].make_workdir);
  options = Parse({"--branches=/srv/u=rw:/a=ro", "--workdir=/w", "/m"});
  EXPECT_EQ(options.branches[0].workdir, "/w");
  EXPECT_FALSE(options.branches[0].make_workdir);
  EXPECT_THAT(Error({"--branches=.=rw:/a=ro", "/m"}), HasSubstr("--workdir=DIR"));
}

TEST(OptionsTest, AufsSpelling) {
  EXPECT_EQ(Parse({"-o", "br:/u=rw:/a=ro", "/m"}).branches.size(), 2u);
  EXPECT_EQ(Parse({"-o", "br=/u=rw:/a=ro", "/m"}).branches.size(), 2u);
}

TEST(OptionsTest, ReadOnlyWithoutAWritableBranch) {
  EXPECT_EQ(Parse({"-o", "lowerdir=/a:/b,workdir=/w", "/m"}).branches[0].workdir, "");
  EXPECT_EQ(Parse({"--branches=/a=ro:/b=ro", "/m"}).branches[0].workdir, "");
}

TEST(OptionsTest, MountHelperForm) {
  Options options = Parse({"overlay", "/m", "-o", "rw,lowerdir=/a,dev,suid,x-systemd.automount,_netdev,user=me"});
  EXPECT_EQ(options.mountpoint, "/m");
  EXPECT_EQ(options.fsname, "overlay");
  EXPECT_THAT(options.mount_options, ElementsAre("rw", "dev", "suid"));
  EXPECT_EQ(Parse({"overlay", "/m", "-o", "lowerdir=/a,fsname=mine"}).fsname, "mine");
}

TEST(OptionsTest, ReadyFdRunsInTheForeground) {
  EXPECT_TRUE(Parse({"-o", "lowerdir=/a", "/dev/fd/7"}).foreground);
  EXPECT_TRUE(IsMountedFd("/dev/fd/0"));
  EXPECT_FALSE(IsMountedFd("/dev/fd/"));
  EXPECT_FALSE(IsMountedFd("/dev/fd/x"));
  EXPECT_FALSE(IsMountedFd("/mnt"));
}

TEST(OptionsTest, EveryOptionOfFuseOverlayfsAndOverlayfsIsKnown) {
  for (const char* option : {"static_nlink",
                             "volatile",
                             "noacl",
                             "xino=auto",
                             "xino=off",
                             "redirect_dir=on",
                             "redirect_dir=follow",
                             "redirect_dir=nofollow",
                             "metacopy=on",
                             "index=off",
                             "userxattr",
                             "fsync=0",
                             "allow_root",
                             "default_permissions",
                             "threaded=1",
                             "fast_ino=0",
                             "writeback=1",
                             "noxattrs=1",
                             "plugins=",
                             "xattr_permissions=0",
                             "context=system_u:object_r:container_file_t:s0",
                             "max_read=65536",
                             "nonempty"}) {
    EXPECT_TRUE(ParseCommandLine({"-o", std::string("lowerdir=/a,") + option, "/m"}).ok()) << option;
  }
}

TEST(OptionsTest, Values) {
  EXPECT_EQ(ParseOption("userxattr").xattr_namespace, XattrNamespace::kUser);
  EXPECT_EQ(ParseOption("userxattr=off").xattr_namespace, XattrNamespace::kTrusted);
  EXPECT_EQ(ParseOption("userxattr=auto").xattr_namespace, XattrNamespace::kAuto);
  EXPECT_EQ(ParseOption("whiteouts=xattr").write_whiteouts, WhiteoutEncoding::kXattr);
  EXPECT_EQ(ParseOption("whiteouts=char").write_whiteouts, WhiteoutEncoding::kCharDevice);
  EXPECT_TRUE(ParseOption("fsync=0").skip_sync);
  EXPECT_FALSE(ParseOption("fsync=1").skip_sync);
  EXPECT_TRUE(ParseOption("writeback").writeback);
  EXPECT_FALSE(ParseOption("writeback=0").writeback);
  EXPECT_EQ(ParseOption("io=uring").io, Io::kUring);
  EXPECT_EQ(ParseOption("io=threads").io, Io::kThreads);
  EXPECT_EQ(ParseOption("io=auto").io, Io::kAuto);
  EXPECT_EQ(Parse({"--io=threads", "-o", "lowerdir=/a", "/m"}).io, Io::kThreads);
  EXPECT_THAT(Error({"--io=fast", "-o", "lowerdir=/a", "/m"}), HasSubstr("--io=fast: must be auto, uring or threads"));
  EXPECT_TRUE(ParseOption("passthrough").passthrough);
  EXPECT_FALSE(ParseOption("passthrough=off").passthrough);
  EXPECT_FALSE(ParseOption("ro").passthrough);
  EXPECT_THAT(OptionError("passthrough,writeback"), HasSubstr("passthrough and writeback exclude each other"));
  EXPECT_THAT(OptionError("passthrough,xattr_permissions=2"), HasSubstr("passthrough and xattr_permissions exclude"));
  EXPECT_TRUE(Parse({"-o", "lowerdir=/a,confine", "/dev/fd/3"}).confine);
  EXPECT_FALSE(Parse({"-o", "lowerdir=/a", "/dev/fd/3"}).confine);
  EXPECT_THAT(OptionError("confine"), HasSubstr("confine goes with a mountpoint /dev/fd/N"));
  EXPECT_EQ(ParseOption("max_write=4096").max_write, 4096u);
  EXPECT_EQ(ParseOption("max_read=8192").max_read, 8192u);
  EXPECT_TRUE(ParseOption("ro").read_only);
  EXPECT_EQ(ParseOption("dotwh").branches[0].format, WhiteoutFormat::kDotWh);
  EXPECT_TRUE(ParseOption("debug").foreground);
}

TEST(OptionsTest, EachWritableBranchHasAWorkDirectory) {
  Options options = Parse({"--branches=/srv/u=rw:/a=ro:/srv/v=rw", "/m"});
  EXPECT_EQ(options.branches[0].workdir, "/srv/.u.work");
  EXPECT_EQ(options.branches[1].workdir, "");
  EXPECT_EQ(options.branches[2].workdir, "/srv/.v.work");
  EXPECT_THAT(Error({"--branches=/u=rw:/v=rw", "--workdir=/w", "/m"}),
              AllOf(HasSubstr("workdir=/w"), HasSubstr("one writable branch")));
}

TEST(OptionsTest, Policies) {
  EXPECT_EQ(ParseOption("create=mfs").create_policy, CreatePolicy::kMostFreeSpace);
  EXPECT_EQ(ParseOption("noatime").create_policy, CreatePolicy::kParent);
  EXPECT_EQ(ParseOption("cpup=bu").copy_up_policy, CopyUpPolicy::kBottomUp);
  EXPECT_THAT(OptionError("create=best"), HasSubstr("create=best: must be ff, tdp, mfs, rr or pmfs"));
  EXPECT_THAT(OptionError("cpup=up"), HasSubstr("cpup=up: must be tdp, bup or bu"));
}

TEST(OptionsTest, CommandsThatAskAMount) {
  absl::StatusOr<CommandLine> line = ParseCommandLine({"branch", "/m", "add", "/a=b=RW+dotwh", "--at=bottom"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->action, Action::kBranch);
  EXPECT_EQ(line->branch_verb, "add");
  EXPECT_EQ(line->path, "/a=b");
  EXPECT_EQ(line->branch_mode, "rw+dotwh");
  EXPECT_EQ(line->position, -1);
  EXPECT_EQ(ParseCommandLine({"branch", "/m"})->branch_verb, "list");
  EXPECT_EQ(ParseCommandLine({"branch", "/m", "add", "/a"})->branch_mode, "ro");
  line = ParseCommandLine({"whence", "--json", "/m", "--", "-odd"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_TRUE(line->json);
  EXPECT_EQ(line->path, "-odd");
  EXPECT_THAT(Error({"whence", "/m"}), HasSubstr("needs a path"));
  EXPECT_THAT(Error({"branch"}), HasSubstr("needs a mountpoint"));
  EXPECT_THAT(Error({"branch", "/m", "add"}), HasSubstr("add DIR[=MODE]"));
  EXPECT_THAT(Error({"branch", "/m", "add", "=rw"}), HasSubstr("give a directory"));
  EXPECT_THAT(Error({"whence", "/m", "a", "b"}), HasSubstr("too many arguments: 'b'"));
}

TEST(OptionsTest, ChangesByOthers) {
  EXPECT_EQ(ParseOption("udba=reval").udba, Udba::kReval);
  EXPECT_EQ(ParseOption("udba=reval").timeout, 0);
  EXPECT_EQ(ParseOption("timeout=5,udba=reval").timeout, 5);
  EXPECT_THAT(OptionError("udba=maybe"), HasSubstr("udba=maybe: must be none, reval or notify"));
  EXPECT_TRUE(ParseOption("shwh").show_whiteouts);
  EXPECT_THAT(Error({"--branches=/a=rw", "--show_whiteouts", "/m"}), HasSubstr("cannot be changed"));
}

TEST(OptionsTest, ErrorsNameOptionAndValueInOneLine) {
  EXPECT_THAT(OptionError("timeout=soon"), AllOf(HasSubstr("timeout=soon"), HasSubstr("seconds")));
  EXPECT_THAT(OptionError("timeout=-1"), HasSubstr("timeout=-1"));
  EXPECT_THAT(OptionError("timeout=nan"), HasSubstr("timeout=nan"));
  EXPECT_THAT(OptionError("metacopy=maybe"), HasSubstr("metacopy=maybe: must be on or off"));
  EXPECT_THAT(OptionError("whiteouts=dot"), HasSubstr("auto, char or xattr"));
  EXPECT_THAT(OptionError("max_write=-3"), HasSubstr("max_write=-3"));
  EXPECT_THAT(OptionError("volatile=1"), HasSubstr("takes no value"));
  EXPECT_THAT(OptionError("control"), HasSubstr("needs a value"));
  EXPECT_THAT(OptionError("control="), HasSubstr("give a path"));
  EXPECT_THAT(OptionError("lowerdir=/b"), HasSubstr("given before"));
  EXPECT_THAT(OptionError("nosuchthing=7"), HasSubstr("unknown option -o nosuchthing=7"));
  EXPECT_THAT(OptionError("allow_root,allow_other"), HasSubstr("exclude each other"));
  EXPECT_THAT(Error({"--nosuchthing", "/m"}), HasSubstr("unknown option --nosuchthing"));
  EXPECT_THAT(Error({"-x", "/m"}), HasSubstr("unknown option -x"));
  EXPECT_THAT(Error({"/m", "-o"}), HasSubstr("-o needs a value"));
}

TEST(OptionsTest, WhatIsNotBuiltIsNotIgnored) {
  EXPECT_THAT(OptionError("plugins=/x.so"), AllOf(HasSubstr("plugins=/x.so"), HasSubstr("not supported")));
}

TEST(OptionsTest, OwnersAreMapped) {
  // As containers/storage writes it, with a colon too many.
  Options options = ParseOption("uidmapping=:0:1000:1:1:100000:65536,gidmapping=0:2000:1,gidmapping=1:200000:10");
  EXPECT_EQ(options.owners.uids.ToShown(0), 1000u);
  EXPECT_EQ(options.owners.uids.ToShown(33), 100032u);
  EXPECT_EQ(options.owners.gids.ToShown(0), 2000u);
  EXPECT_EQ(options.owners.gids.ToShown(5), 200004u);
  EXPECT_FALSE(options.owners.none());
  EXPECT_THAT(OptionError("uidmapping=0:1000"), HasSubstr("-o uidmapping=0:1000: must be STORED:SHOWN:COUNT"));
  EXPECT_THAT(OptionError("gidmapping=0:x:1"), HasSubstr("-o gidmapping=0:x:1: must be made of numbers, and 'x'"));
  EXPECT_THAT(OptionError("uidmapping=0:1000:2,uidmapping=1:5:1"), HasSubstr("ranges that do not overlap"));
}

TEST(OptionsTest, OwnersAreSquashed) {
  EXPECT_TRUE(ParseOption("noatime").owners.none());
  EXPECT_EQ(ParseOption("squash_to_root").owners.squash_uid, 0u);
  EXPECT_EQ(ParseOption("squash_to_root").owners.squash_gid, 0u);
  EXPECT_EQ(ParseOption("squash_to_uid=1000").owners.squash_uid, 1000u);
  EXPECT_EQ(ParseOption("squash_to_uid=1000").owners.squash_gid, std::nullopt);
  for (const char* both : {"squash_to_root,squash_to_gid=7", "squash_to_gid=7,squash_to_root"}) {
    EXPECT_EQ(ParseOption(both).owners.squash_uid, 0u);
    EXPECT_EQ(ParseOption(both).owners.squash_gid, 7u);
  }
  EXPECT_THAT(OptionError("squash_to_uid=root"), HasSubstr("squash_to_uid=root: must be an id"));
  EXPECT_THAT(OptionError("squash_to_gid=-1"), HasSubstr("squash_to_gid=-1: must be an id"));
  EXPECT_THAT(OptionError("squash_to_gid=4294967295"), HasSubstr("must be an id"));
}

TEST(OptionsTest, OwnersAreRecorded) {
  EXPECT_EQ(ParseOption("xattr_permissions=0").owner_records, OwnerRecords::kNone);
  EXPECT_EQ(ParseOption("xattr_permissions=1").owner_records, OwnerRecords::kPrivileged);
  EXPECT_EQ(ParseOption("xattr_permissions=2").owner_records, OwnerRecords::kUser);
  EXPECT_THAT(OptionError("xattr_permissions=3"), HasSubstr("xattr_permissions=3: must be 0, 1 or 2"));
}

TEST(OptionsTest, LayersOfEnginesAreFoundUnlessToldOtherwise) {
  EXPECT_TRUE(ParseOption("noatime").find_engine_layers);
  for (const char* option : {"dotwh", "dotwh=off"}) EXPECT_FALSE(ParseOption(option).find_engine_layers) << option;
  EXPECT_FALSE(Parse({"--branches=/a=ro:/b=ro", "/m"}).find_engine_layers);
}

TEST(OptionsTest, Sync) {
  EXPECT_EQ(ParseOption("noatime").sync, SyncMode::kAuto);
  EXPECT_EQ(ParseOption("sync=strict").sync, SyncMode::kStrict);
  for (const char* option : {"volatile", "sync=volatile"}) {
    EXPECT_EQ(ParseOption(option).sync, SyncMode::kVolatile);
    EXPECT_TRUE(ParseOption(option).skip_sync);
  }
  EXPECT_FALSE(ParseOption("volatile,sync=auto").skip_sync);
  EXPECT_EQ(Parse({"--sync=strict", "-o", "lowerdir=/a", "/m"}).sync, SyncMode::kStrict);
  EXPECT_THAT(ParseOption("sync").mount_options, ElementsAre("sync"));
  EXPECT_THAT(OptionError("sync=often"), HasSubstr("sync=often: must be auto, strict or volatile"));
}

TEST(OptionsTest, MissingParts) {
  EXPECT_THAT(Error({}), HasSubstr("no layers"));
  EXPECT_THAT(Error({"/m"}), HasSubstr("no layers"));
  EXPECT_THAT(Error({"-o", "lowerdir=/a"}), HasSubstr("no mountpoint"));
  EXPECT_THAT(Error({"-o", "lowerdir=", "/m"}), HasSubstr("empty entry"));
  EXPECT_THAT(Error({"-o", "lowerdir=/a::/b", "/m"}), HasSubstr("empty entry"));
  EXPECT_THAT(Error({"-o", "lowerdir=/a,upperdir=/u", "/m"}), HasSubstr("workdir=DIR"));
  EXPECT_THAT(Error({"-o", "lowerdir=/a,upperdir=,workdir=/w", "/m"}), HasSubstr("upperdir= is empty"));
  EXPECT_THAT(Error({"-o", "upperdir=/u,workdir=/w", "/m"}), HasSubstr("no layers"));
  EXPECT_THAT(Error({"-o", "lowerdir=/a", "--branches=/b=ro", "/m"}), HasSubstr("exclude each other"));
  EXPECT_THAT(Error({"-o", "lowerdir=/a", "src", "/m", "more"}), HasSubstr("'more'"));
}

TEST(OptionsTest, HelpAndVersionNeedNothingElse) {
  EXPECT_EQ(ParseCommandLine({"--help"})->action, Action::kHelp);
  EXPECT_EQ(ParseCommandLine({"-h"})->action, Action::kHelp);
  EXPECT_EQ(ParseCommandLine({"--version"})->action, Action::kVersion);
  EXPECT_EQ(ParseCommandLine({"-V", "/m"})->action, Action::kVersion);
  EXPECT_THAT(std::string(HelpText()), AllOf(HasSubstr("lowerdir="), Not(HasSubstr("\t"))));
}

TEST(OptionsTest, Stats) {
  absl::StatusOr<CommandLine> line = ParseCommandLine({"stats", "/m", "--json"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->action, Action::kStats);
  EXPECT_EQ(line->mountpoint, "/m");
  EXPECT_TRUE(line->json);
  EXPECT_EQ(ParseCommandLine({"stats", "--control=/c"})->options.control_path, "/c");
  EXPECT_THAT(Error({"stats"}), HasSubstr("needs a mountpoint"));
  EXPECT_THAT(Error({"stats", "/m", "/n"}), HasSubstr("'/n'"));
  EXPECT_THAT(Error({"stats", "/m", "--xml"}), HasSubstr("--xml"));
}

TEST(OptionsTest, DiffAndCheck) {
  absl::StatusOr<CommandLine> line = ParseCommandLine({"diff", "/u", "--lowerdir=/a:/b\\:c", "--json", "--dotwh"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->action, Action::kDiff);
  EXPECT_TRUE(line->json);
  ASSERT_EQ(line->options.branches.size(), 3u);
  EXPECT_EQ(line->options.branches[0].path, "/u");
  EXPECT_EQ(line->options.branches[0].mode, BranchMode::kReadWrite);
  EXPECT_EQ(line->options.branches[0].format, WhiteoutFormat::kOverlay);
  EXPECT_EQ(line->options.branches[2].path, "/b:c");
  EXPECT_EQ(line->options.branches[2].format, WhiteoutFormat::kDotWh);

  line = ParseCommandLine({"check", "--workdir=/w", "--repair", "--userxattr", "--format=dotwh", "--", "-u"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->action, Action::kCheck);
  EXPECT_TRUE(line->repair);
  EXPECT_EQ(line->options.branches[0].workdir, "/w");
  EXPECT_EQ(line->options.xattr_namespace, XattrNamespace::kUser);
  EXPECT_EQ(line->options.branches[0].path, "-u");
  EXPECT_EQ(line->options.branches[0].format, WhiteoutFormat::kDotWh);

  EXPECT_THAT(Error({"diff"}), HasSubstr("diff needs a writable layer"));
  EXPECT_THAT(Error({"check", "/u", "/v"}), HasSubstr("'/v'"));
  EXPECT_THAT(Error({"diff", "/u", "--repair"}), HasSubstr("unknown option --repair"));
  EXPECT_THAT(Error({"diff", "/u", "--workdir=/w"}), HasSubstr("unknown option --workdir=/w"));
  EXPECT_THAT(Error({"check", "/u", "--workdir="}), HasSubstr("--workdir= is empty"));
  EXPECT_THAT(Error({"check", "/u", "--lowerdir=/a::/b"}), HasSubstr("empty entry"));
  EXPECT_THAT(Error({"check", "/u", "--format=zip"}), HasSubstr("must be overlay or dotwh"));
  EXPECT_THAT(Error({"check", "/u", "--userxattr=maybe"}), HasSubstr("must be on, off or auto"));
  EXPECT_THAT(Error({"diff", "/u", "--dotwh"}), HasSubstr("--format=dotwh"));
}

}  // namespace
}  // namespace acetate::fusefs
