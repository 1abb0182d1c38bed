// postfix(1): starts, stops and checks the mail system.
#include "commands/postfix/control.hpp"

int main(int argc, char** argv) { return stagepost::postfix::run(argc, argv); }
