#include "commands/postsuper/postsuper.hpp"

int main(int argc, char** argv) { return stagepost::postsuper::run(argc, argv); }
