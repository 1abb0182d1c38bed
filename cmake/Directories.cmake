# Where things are installed, in Postfix's words. Every value is the default of the main.cf parameter of the same name
# and can be changed at configure time (-DSTAGEPOST_QUEUE_DIRECTORY=...) and, as in Postfix, again in main.cf.
include(GNUInstallDirs)

if(CMAKE_INSTALL_PREFIX STREQUAL "/usr")
  set(_etc /etc)
  set(_var /var)
else()
  set(_etc ${CMAKE_INSTALL_PREFIX}/etc)
  set(_var ${CMAKE_INSTALL_PREFIX}/var)
endif()

set(STAGEPOST_CONFIG_DIRECTORY ${_etc}/postfix CACHE STRING "config_directory")
set(STAGEPOST_QUEUE_DIRECTORY ${_var}/spool/postfix CACHE STRING "queue_directory")
set(STAGEPOST_DATA_DIRECTORY ${_var}/lib/postfix CACHE STRING "data_directory")
set(STAGEPOST_DAEMON_DIRECTORY ${CMAKE_INSTALL_PREFIX}/lib/postfix/sbin CACHE STRING "daemon_directory")
set(STAGEPOST_COMMAND_DIRECTORY ${CMAKE_INSTALL_PREFIX}/sbin CACHE STRING "command_directory")
set(STAGEPOST_MAILQ_PATH ${CMAKE_INSTALL_PREFIX}/bin/mailq CACHE STRING "mailq_path")
set(STAGEPOST_NEWALIASES_PATH ${CMAKE_INSTALL_PREFIX}/bin/newaliases CACHE STRING "newaliases_path")
set(STAGEPOST_SENDMAIL_PATH ${STAGEPOST_COMMAND_DIRECTORY}/sendmail CACHE STRING "sendmail_path")
set(STAGEPOST_MANPAGE_DIRECTORY ${CMAKE_INSTALL_PREFIX}/share/man CACHE STRING "manpage_directory")
set(STAGEPOST_MAIL_OWNER postfix CACHE STRING "mail_owner")
set(STAGEPOST_SETGID_GROUP postdrop CACHE STRING "setgid_group")
