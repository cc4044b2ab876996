# xdg-open asks the screen which desktop this is, and takes it for none while one is still starting.
export XDG_CURRENT_DESKTOP=XFCE
