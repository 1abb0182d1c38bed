#include "commands/sendmail/sendmail.hpp"

int main(int argc, char** argv) { return stagepost::sendmail::run(argc, argv); }
