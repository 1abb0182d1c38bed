#include "commands/postqueue/postqueue.hpp"

int main(int argc, char** argv) { return stagepost::postqueue::run(argc, argv); }
