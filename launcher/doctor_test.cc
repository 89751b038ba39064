#include "launcher/doctor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

namespace acetate::launcher {
namespace {

using Verdict = Finding::Verdict;
using ::testing::HasSubstr;

// A machine on which all is well, for a user with subordinate ids.
DoctorView Healthy() {
  DoctorView view;
  view.identity.uid = view.identity.gid = 1000;
  view.identity.user_name = "me";
  view.identity.subuid = view.identity.subgid = "me:100000:65536\n";
  view.identity.newuidmap = "/usr/bin/newuidmap";
  view.identity.newgidmap = "/usr/bin/newgidmap";
  view.mappers_privileged = true;
  view.fusefs = "/usr/bin/fusefs";
  view.landlock = 2;
  return view;
}

Finding About(const DoctorView& view, const std::string& subject) {
  for (const Finding& finding : Diagnose(view)) {
    if (finding.subject == subject) return finding;
  }
  ADD_FAILURE() << "nothing about " << subject;
  return {};
}

TEST(DoctorTest, WhatIsThereIsGoodAndNeedsNoCure) {
  for (const Finding& finding : Diagnose(Healthy())) {
    if (finding.subject == "limits") continue;
    EXPECT_EQ(finding.verdict, Verdict::kGood) << finding.subject;
    EXPECT_EQ(finding.cure, "") << finding.subject;
  }
  EXPECT_EQ(About(Healthy(), "subordinate ids").detail, "65536 besides your own");
}

TEST(DoctorTest, ForbiddenUserNamespacesAreCuredByTheSettingThatForbidsThem) {
  DoctorView view = Healthy();
  view.user_namespace_error = EPERM;
  view.user_namespace_hint = "; user namespaces are forbidden to users: sysctl -w kernel.unprivileged_userns_clone=1";
  Finding finding = About(view, "user namespaces");
  EXPECT_EQ(finding.verdict, Verdict::kBad);
  EXPECT_THAT(finding.detail, HasSubstr("Operation not permitted"));
  EXPECT_EQ(finding.cure, "user namespaces are forbidden to users: sysctl -w kernel.unprivileged_userns_clone=1");
}

TEST(DoctorTest, IdsThatAreMissingOnlyLimit) {
  DoctorView view = Healthy();
  view.identity.subuid = "you:100000:65536\n";
  view.identity.subgid = "you:100000:65536\nthey:165536:10\n";
  Finding finding = About(view, "subordinate ids");
  EXPECT_EQ(finding.verdict, Verdict::kLimited);
  EXPECT_EQ(finding.cure, "as root: usermod --add-subuids 165546-231081 --add-subgids 165546-231081 me");
}

TEST(DoctorTest, IdsThatCannotBeMappedKeepContainersFromRunning) {
  DoctorView view = Healthy();
  view.mappers_privileged = false;
  EXPECT_EQ(About(view, "subordinate ids").verdict, Verdict::kBad);
  view.identity.newgidmap.clear();
  EXPECT_EQ(About(view, "subordinate ids").cure, "apt install uidmap");
}

TEST(DoctorTest, TheFuseDeviceIsCuredByWhatIsWrongWithIt) {
  DoctorView view = Healthy();
  view.fuse_error = EACCES;
  EXPECT_THAT(About(view, "/dev/fuse").cure, HasSubstr("chmod 0666 /dev/fuse"));
  view.fuse_error = ENOENT;
  EXPECT_THAT(About(view, "/dev/fuse").cure, HasSubstr("modprobe fuse"));
  EXPECT_EQ(About(view, "/dev/fuse").verdict, Verdict::kBad);
}

TEST(DoctorTest, LimitsAndTunOnlyLimit) {
  DoctorView view = Healthy();
  view.tun_error = ENOENT;
  view.cgroups.unified = "/nonexistent";
  EXPECT_EQ(About(view, "limits").verdict, Verdict::kLimited);
  EXPECT_THAT(About(view, "limits").cure, HasSubstr("systemd-run --user --scope"));
  EXPECT_EQ(About(view, "/dev/net/tun").verdict, Verdict::kLimited);
}

TEST(DoctorTest, WithoutFusefsNothingRuns) {
  DoctorView view = Healthy();
  view.fusefs.clear();
  EXPECT_EQ(About(view, "fusefs").verdict, Verdict::kBad);
}

TEST(DoctorTest, WithoutLandlockFusefsIsNotConfined) {
  DoctorView view = Healthy();
  view.landlock = 1;
  EXPECT_EQ(About(view, "Landlock").verdict, Verdict::kLimited);
  EXPECT_THAT(About(view, "Landlock").detail, HasSubstr("too old"));
  view.landlock = 0;
  EXPECT_THAT(About(view, "Landlock").detail, HasSubstr("the kernel has none"));
}

TEST(DoctorTest, ThisMachineCanBeLookedAt) { EXPECT_EQ(Diagnose(ReadDoctorView()).size(), 7u); }

}  // namespace
}  // namespace acetate::launcher
