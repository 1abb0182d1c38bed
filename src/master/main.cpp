// master(8): opens the sockets named in master.cf, starts the daemons behind them and keeps them running.
#include "master/startup.hpp"

int main(int argc, char** argv) { return stagepost::master::run_master(argc, argv); }
