module casemate/guest-agent

go 1.19
