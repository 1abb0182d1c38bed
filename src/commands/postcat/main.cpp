#include "commands/postcat/postcat.hpp"

int main(int argc, char** argv) { return stagepost::postcat::run(argc, argv); }
