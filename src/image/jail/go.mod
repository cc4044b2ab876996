module casemate/image-jail

go 1.19
