module casemate/gvisor-launcher

go 1.19
