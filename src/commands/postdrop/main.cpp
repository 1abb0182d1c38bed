#include "commands/postdrop/postdrop.hpp"

int main(int argc, char** argv) { return stagepost::postdrop::run(argc, argv); }
