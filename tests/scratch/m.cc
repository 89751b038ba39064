#include "fusefs/fuse_ops.h"
#include "fusefs/open_branches.h"
#include <iostream>
#include <csignal>
#include <sys/resource.h>
using namespace acetate; using namespace acetate::fusefs;
Stats stats;
int main(int c,char**v){ std::vector<std::string> a(v+1,v+c); auto cl=ParseCommandLine(a); if(!cl.ok()){std::cerr<<cl.status()<<"\n";return 1;}
 Options&o=cl->options; auto ob=OpenBranches(o); if(!ob.ok()){std::cerr<<ob.status()<<"\n";return 1;}
 std::vector<std::unique_ptr<Branch>> bs; for(size_t i=0;i<o.branches.size();++i) bs.push_back(std::make_unique<DirectoryBranch>(o.branches[i],i,std::move(ob->branch_fds[i])));
 umask(0); struct rlimit l; getrlimit(RLIMIT_NOFILE,&l); l.rlim_cur=l.rlim_max; setrlimit(RLIMIT_NOFILE,&l);
 auto fs=UnionFs::Create(o,std::move(bs),std::move(ob->work_fd),Identity::OfProcess(),&stats); if(!fs.ok()){std::cerr<<"create "<<fs.error().value()<<"\n";return 1;}
 FuseContext ctx{fs->get(),&stats,&o}; fuse_args args=FUSE_ARGS_INIT(0,nullptr); fuse_opt_add_arg(&args,"fusefs"); fuse_opt_add_arg(&args,"-oallow_other,default_permissions,subtype=fusefs"); if(o.debug) fuse_opt_add_arg(&args,"-d");
 auto*s=NewFuseSession(&ctx,&args); fuse_set_signal_handlers(s); fuse_session_mount(s,o.mountpoint.c_str()); int r=RunLoop(s); fuse_session_unmount(s); fuse_session_destroy(s); std::cerr<<stats.Json()<<"\n"; return r; }
