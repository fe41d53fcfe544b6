case $- in *i*) ;; *) return ;; esac
alias ls='ls --color=auto'
PS1='[\u@\h \W]\$ '
